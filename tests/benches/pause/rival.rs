//! What one would do without Segue: `rsync` once beforehand, then stop the writers, `rsync -aHAX --delete` again, move
//! the link, start the writers. Nobody looks whether a writer is left, nothing is verified, and a death in the middle
//! is the operator's.

use std::time::Instant;

use segue_tests::Scratch;

use crate::sample::Sample;

/// Switches that the median is taken of.
const SWITCHES: usize = 10;
const RSYNC: &str = "rsync -aHAX --delete --exclude '*.tmp' --exclude cache/";

/// Switches to and fro.
pub(crate) fn run(scratch: &Scratch) -> Sample {
    let mut pauses = Sample::default();
    for i in 0..SWITCHES {
        let (from, to) = if i % 2 == 0 { ("old", "new") } else { ("new", "old") };
        let sync = format!("{RSYNC} {from}/ {to}/");
        // Files vanish under it while writers write: that is no failure (24).
        scratch.run("sh", &["-c", &format!("{sync} 2>/dev/null || test $? = 24")]).expect_code(0);
        let began = Instant::now();
        let switch = format!(
            "./app pause && {sync} && ln -s {to} live.next && mv -T live.next live && ./app resume && ./app try-write"
        );
        scratch.run("sh", &["-c", &switch]).expect_code(0);
        pauses.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    pauses
}

pub(crate) fn print(rival: &Sample, segue: &Sample) {
    println!(
        "by hand (stop, rsync, link, start) over {} switches: median {:.0} ms, worst {:.0} ms: {:.1} times Segue's median, {:.1} times its worst",
        rival.len(),
        rival.median(),
        rival.worst(),
        rival.median() / segue.median(),
        rival.worst() / segue.worst()
    );
}
