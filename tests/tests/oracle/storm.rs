//! A storm of deaths over what directories are made of: directories that are renamed, files with several names, files
//! that stay mapped, and a disk that goes away in between. Whatever dies, the side that was asked for serves in the end,
//! and nothing is lost.

use std::time::{Duration, Instant};

use segue_tests::{Mount, Ran, Running, rounds, run, say};

use super::workload::{APPLY, Workload, Writer};

const BACK: [&str; 3] = ["switch-back", "cutover.site", "--auto-approve"];
/// How long a run lives at most: about as long as a switch takes.
const LIFE: Duration = Duration::from_millis(2500);
/// Deaths of one command, at most.
const DEATHS_IN_A_ROW: u64 = 4;

/// Lives for a random time, and dies.
fn dies(load: &mut Workload, words: &[&str]) {
    let run = Running::new(&load.scratch, words);
    // The instant is what is tested, and waits for nothing.
    std::thread::sleep(load.random.time_below(LIFE));
    let said = run.output().lines().last().unwrap_or_default().to_owned();
    let alive = run.kill();
    load.deaths += u64::from(alive);
    println!("  death: {} alive {alive}, last said: {said}", words[0]);
}

/// The same command again and again, until it has ended by itself.
fn dies_and_ends(load: &mut Workload, words: &[&str]) -> Ran {
    for _ in 0..1 + load.random.below(DEATHS_IN_A_ROW) {
        dies(load, words);
    }
    load.scratch.segue(words).expect_code(0)
}

/// The disk under the side that serves goes away while nobody writes, and comes back. What runs meanwhile, or is killed
/// meanwhile, carries nothing.
fn disk_goes_away(load: &mut Workload, disk: &Mount) {
    load.scratch.app(&["pause"]).expect_code(0);
    let old = load.scratch.at("old").display().to_string();
    let listed = || run("find", &[&old, "-not", "-name", ".segue*", "-type", "f", "-printf", "%P %s\n"]);
    let before = listed();
    disk.unmount(true);
    load.ask_for("source");
    dies(load, &APPLY);
    for words in [&APPLY[..], &BACK] {
        let refused = load.scratch.segue(words);
        assert_ne!(refused.code, Some(0), "{}", refused.all());
    }
    assert_eq!(listed(), before, "the source is as it was");
    assert_eq!(load.scratch.live(), load.live);
    disk.mount();
    load.scratch.app(&["resume"]).expect_code(0);
}

#[test]
fn a_storm_of_deaths_over_renames_links_mapped_files_and_a_disk_that_goes_away_loses_nothing() {
    let wanted = rounds(8, 300) as u64;
    let disk = Mount::made(512, &["mkfs.ext4", "-q", "-F"], &["-o", "loop"]);
    run("rmdir", &[&disk.at("lost+found").display().to_string()]);
    let mut load = Workload::onto("storm", 20_000, &disk);
    for name in ["m0", "m1"] {
        let mapped = Writer::start(&load.scratch, name, "mapped", load.random.number(), load.rest_us);
        load.writers.push(mapped);
    }
    let began = Instant::now();
    let mut round = 0;
    while load.deaths < wanted {
        load.ask_for("target");
        dies_and_ends(&mut load, &APPLY);
        load.switched();
        load.check();
        if round % 4 == 1 {
            disk_goes_away(&mut load, &disk);
        }
        // Back by the spec, or because a person says so, who types it again after each death.
        let typed = round % 2 == 1;
        load.ask_for(if typed { "target" } else { "source" });
        dies_and_ends(&mut load, if typed { &BACK } else { &APPLY });
        load.switched();
        if typed {
            load.scratch.segue(&BACK).expect_code(0);
            assert_eq!(load.scratch.live(), load.live, "typed again it leads nowhere else");
            load.scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
        }
        let verdict = load.check();
        round += 1;
        println!("round {round}: {} operations, {} deaths", verdict.acknowledged, load.deaths);
    }
    for writer in std::mem::take(&mut load.writers) {
        writer.end(true);
    }
    let last = load.check();
    say(&format!(
        "storm: {} acknowledged operations, {} switches, {} deaths: {} lost, {} doubled, {} back, in {} s",
        last.acknowledged,
        2 * round,
        load.deaths,
        last.lost,
        last.doubled,
        last.back,
        began.elapsed().as_secs()
    ));
}
