//! Events a second, each durable before it counts: group commit with 1 to 64 appenders at a time, against
//! one `fdatasync` an event. `cargo bench -p segue-run --bench journal`; about 5 s. Set `SEGUE_BENCH_DIR`
//! to choose the disk.

#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use segue_contract::paths;
use segue_run::clock::SystemClock;
use segue_run::directory::StateDirectory;
use segue_run::journal::{Journal, JournalError, JournalOptions, NoTap};
use segue_run::lock::WriterLock;

/// For each measurement of a round.
const SPAN: Duration = Duration::from_millis(160);

/// The disk is not ours alone: the measurements take turns, and the median of the rounds is told.
const ROUNDS: usize = 5;

const APPENDERS: [u64; 4] = [1, 4, 16, 64];

/// About as long as a checkpoint event.
const EVENT_BYTES: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::var_os("SEGUE_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    paths::create_dir_all(&base)?;
    let directory = tempfile::tempdir_in(base)?;
    let mut event = vec![b'x'; EVENT_BYTES];
    event[0] = b'{';
    let clock = SystemClock::new();
    let (state, _) = StateDirectory::open_or_create(&directory.path().join("state"), &clock)?;
    let lock = Arc::new(WriterLock::acquire(&state, "bench", &clock)?);
    let (mut appended, mut ahead) = (Vec::new(), Vec::new());
    let mut grouped = APPENDERS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        appended.push(one_sync_an_event(&directory.path().join("appended"), &event, false)?);
        ahead.push(one_sync_an_event(&directory.path().join("ahead"), &event, true)?);
        for (appenders, rates) in APPENDERS.into_iter().zip(&mut grouped) {
            rates.push(group_commit(&lock, &event, appenders)?);
        }
    }
    let (appended, ahead) = (median(appended), median(ahead));
    println!("appended file, one fdatasync an event  {appended:>9.0} events/s");
    println!("zeroed ahead, one fdatasync an event   {ahead:>9.0} events/s");
    for (appenders, rates) in APPENDERS.into_iter().zip(grouped) {
        let rate = median(rates);
        println!(
            "journal, {appenders:>2} appender(s)               {rate:>9.0} events/s   {:>6.1} x appended   {:>6.1} x ahead",
            rate / appended,
            rate / ahead
        );
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn one_sync_an_event(path: &std::path::Path, event: &[u8], ahead: bool) -> Result<f64, Box<dyn Error>> {
    let mut file = paths::create_private(path)?;
    if ahead {
        file.write_all(&vec![0; 8 * 1024 * 1024])?;
        file.sync_all()?;
        std::io::Seek::rewind(&mut file)?;
    }
    let start = Instant::now();
    let mut events = 0_u32;
    while start.elapsed() < SPAN {
        file.write_all(event)?;
        file.sync_data()?;
        events += 1;
    }
    Ok(f64::from(events) / start.elapsed().as_secs_f64())
}

fn group_commit(lock: &Arc<WriterLock>, event: &[u8], appenders: u64) -> Result<f64, Box<dyn Error>> {
    let (journal, _) = Journal::open(lock, JournalOptions::default(), &[], NoTap)?;
    let events = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..appenders)
            .map(|_| {
                scope.spawn(|| -> Result<(), JournalError> {
                    while start.elapsed() < SPAN {
                        journal.append(event).wait()?;
                        events.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => Err(JournalError::Closed),
        })
    })?;
    let rate = f64::from(u32::try_from(events.into_inner())?) / start.elapsed().as_secs_f64();
    journal.close()?;
    Ok(rate)
}
