//! One watch, looked at again and again until its time is over or health is lost.

use std::time::Duration;

use segue_contract::{Finding, Reading, Severity, StepIo, segue};
use segue_plan::event::{Event, Watch};

use super::Watching;
use crate::execute::io::Io;
use crate::execute::{Ground, RunError, RunEvent};

/// How often a look is recorded that says what the one before said, in milliseconds.
const RECORD_EVERY_MS: u64 = 60_000;
/// How often it is told, in milliseconds.
const TELL_EVERY_MS: u64 = 10_000;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    looks: u64,
    bad: u64,
    /// In a row.
    failed: u32,
    ok: Option<bool>,
    recorded_ms: u64,
    told_ms: u64,
    reported: bool,
    last: String,
}

/// Looks at once and then at its interval; says what it came to.
pub(super) fn look_until_over(watching: &Watching<'_>, watch: &Watch) -> Result<String, RunError> {
    let ground = watching.ground;
    let mut seen = Seen::default();
    let mut due_ms = ground.clock.boot_ms();
    loop {
        // At least one look, also where all of the time was over when a run died; and not while it looks bad.
        let settled = seen.looks > 0 && (seen.failed == 0 || seen.reported);
        if watching.over() || settled && watching.watched_ms() >= watch.for_ms {
            break;
        }
        let now_ms = ground.clock.boot_ms();
        if now_ms < due_ms {
            ground.control.sleep(Duration::from_millis(due_ms - now_ms));
            continue;
        }
        due_ms = now_ms.saturating_add(watch.interval_ms);
        let reading = ask(watching.ground, watch);
        // A look that was cut off says nothing.
        if watching.over() {
            break;
        }
        if take(watching, watch, &mut seen, &reading)? {
            break;
        }
    }
    Ok(match seen.bad {
        0 => format!("{} looks, all good, the last: {}", seen.looks, seen.last),
        bad => format!("{} looks, {bad} of them NOT GOOD, the last: {}", seen.looks, seen.last),
    })
}

/// A question that could not be put counts as not good.
pub(in crate::execute) fn ask(ground: &Ground, watch: &Watch) -> Reading {
    let io = Io::new(ground, &watch.block.address);
    let looked = ground.registry.watch(&watch.block).and_then(|w| w.look(&watch.block, &io));
    looked.unwrap_or_else(|error| {
        let remedy = error.remedy.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        let said =
            if io.cancelled() { String::new() } else { format!("could not be asked: {error}{remedy}") };
        Reading { ok: false, said, value: None }
    })
}

/// Records and tells a reading; returns whether health was lost so that it goes back.
fn take(
    watching: &Watching<'_>,
    watch: &Watch,
    seen: &mut Seen,
    reading: &Reading,
) -> Result<bool, RunError> {
    let ground = watching.ground;
    let now_ms = ground.clock.boot_ms();
    let changed = seen.ok != Some(reading.ok);
    seen.looks += 1;
    seen.ok = Some(reading.ok);
    seen.last.clone_from(&reading.said);
    seen.bad += u64::from(!reading.ok);
    seen.failed = if reading.ok { 0 } else { seen.failed.saturating_add(1) };
    seen.reported &= !reading.ok;
    if changed || now_ms.saturating_sub(seen.recorded_ms) >= RECORD_EVERY_MS {
        seen.recorded_ms = now_ms;
        ground.record(Event::WatchRead {
            cutover: watching.cutover.clone(),
            epoch: watching.attempt.epoch,
            watch: watch.block.address.clone(),
            ok: reading.ok,
            said: reading.said.clone(),
            value: reading.value,
            failed: seen.failed,
            at: ground.now(),
        })?;
    }
    if changed || !reading.ok || now_ms.saturating_sub(seen.told_ms) >= TELL_EVERY_MS {
        seen.told_ms = now_ms;
        ground.tell(&RunEvent::WatchRead {
            step: watch.block.address.clone(),
            ok: reading.ok,
            said: reading.said.clone(),
            failed: seen.failed,
            failures: watch.failures,
        });
    }
    if seen.failed < watch.failures || seen.reported {
        return Ok(false);
    }
    let said = format!("{} looks in a row were not good, the last: {}", seen.failed, reading.said);
    if watch.switch_back {
        watching.lose(watch, &said)?;
        return Ok(true);
    }
    seen.reported = true;
    Io::new(ground, &watch.block.address).find(Finding {
        severity: Severity::Warning,
        code: "WATCH_LOST".to_owned(),
        summary: said,
        remedy: format!("look at it; `{}` goes back", segue(&["switch-back", watching.cutover.as_str()])),
    });
    Ok(false)
}
