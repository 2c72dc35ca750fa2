//! Steps of the processes: one operation at a time, dying, settling, beginning.

use segue_plan::cutover::{Phase, Settle, settle};

use super::events::Who;
use super::protocol::{Op, Protocol};
use super::reading::Reading;
use super::world::{Late, Marker, Race, Record, Runner, Side, World};

impl Protocol {
    /// Whether nothing that clients send is let in on the side that served.
    pub(crate) fn quiet(&self, world: &World, from: Side) -> bool {
        if self.data() { !world.accepts[from] } else { !world.running }
    }

    /// One operation. `None`: it waits.
    pub(crate) fn operate(&self, world: &World, who: Who) -> Option<World> {
        let mut next = world.clone();
        let mut runner = self.runner(world, who)?;
        let op = *self.program(&runner).get(usize::from(runner.op))?;
        let (from, to, attempt) = (runner.record.from, runner.record.to(), runner.record.attempt);
        let before_commit = settle(runner.record.phase) == Settle::Abort;
        let mut abort = false;
        if let Some(call) = self.call(world, &runner, op) {
            // One that is open already needs no call.
            if op == Op::Open && world.broken && !world.accepts[to] {
                // It cannot be opened: taken back once nothing that opens it can still land.
                let late_open = world.late.iter().any(|l| matches!(l, Late::Open(side) if *side == to));
                if late_open && !self.is(Reading::TakenBackWithLateOpen) {
                    return None;
                }
                abort = true;
            } else {
                self.land(&mut next, call);
                if op == Op::Copy {
                    next.epoch[to] = attempt;
                }
            }
        }
        match op {
            Op::Close => next.timer = Some(from),
            Op::Drain if world.flight == Some(from) => return None,
            Op::TakeFence => {
                abort |= !self.quiet(world, from);
                runner.record.fence = world.version[from];
            }
            Op::Verify => abort |= world.version[to] != runner.record.fence,
            Op::LookQuiet => abort |= !self.quiet(world, from) || self.too_late(world),
            Op::CancelTimer => {
                abort |= world.timer.is_none();
                next.timer = None;
            }
            Op::Race => match world.race {
                Race::Open => {
                    next.race = Race::Hardened;
                    next.accepts[from] &= self.data() || !self.barred;
                }
                Race::Hardened => {}
                Race::Expired => abort = true,
            },
            Op::Arm => runner.record.reverse = Some(world.version[to]),
            Op::LastLook => {
                let moved = world.version[from] != runner.record.fence && !self.is(Reading::HiddenWriter);
                abort |= moved || !self.quiet(world, from);
                abort |= self.is(Reading::LeaseCheckedOnlyAtCommit) && self.too_late(world);
            }
            Op::LookForHand => {
                let raised = world.marker[from].raised && world.marker[from].epoch == attempt;
                abort |= !raised && !self.quiet(world, from);
            }
            Op::RaiseOld => next.marker[from] = Marker { epoch: attempt, live: to, raised: true },
            Op::RaiseNew => next.marker[to] = Marker { epoch: attempt, live: to, raised: true },
            Op::Believe if world.cached != world.route => return None,
            Op::AwaitLate if world.late.iter().any(|l| !matches!(l, Late::Copy(..))) => return None,
            Op::RaiseBack => {
                let marker = Marker { epoch: attempt, live: from, raised: true };
                next.marker = [marker; 2];
            }
            Op::OpenBack if !self.data() => {
                next.accepts[from] = true;
                next.timer = None;
            }
            Op::OpenBack => next.timer = None,
            Op::Start => next.accepts[to] = true,
            Op::Write(phase) => {
                let committed_before = runner.record.committed_before || phase == Phase::Committed;
                next.unsynced = Some(Record { phase, committed_before, ..runner.record });
            }
            Op::TakeBack => {
                next.unsynced = Some(Record { taken_back: true, phase: Phase::Aborting, ..runner.record });
            }
            Op::WriteOver => {
                let phase = if runner.aborting { Phase::Ready } else { Phase::Soaking };
                next.unsynced = Some(Record { phase, taken_back: false, ..runner.record });
            }
            Op::Sync => {
                next.durable = next.unsynced.take().unwrap_or(next.durable);
                runner.record = next.durable;
            }
            _ => {}
        }
        if abort {
            // After COMMITTED only what takes it back leads back.
            let back = before_commit || matches!(op, Op::LookForHand | Op::Open);
            if !back {
                return None;
            }
            (runner.aborting, runner.op) = (true, 0);
        } else if op == Op::Sync {
            runner.op = 0;
            if settle(runner.record.phase) == Settle::Nothing {
                self.set(&mut next, who, None);
                next.race = Race::Open;
                (next.lapsed, next.forward_lapsed) = (false, false);
                return Some(next);
            }
        } else {
            runner.op += 1;
        }
        self.set(&mut next, who, Some(runner));
        Some(next)
    }

    pub(crate) fn too_late(&self, world: &World) -> bool {
        world.lapsed
    }

    pub(crate) fn runner(&self, world: &World, who: Who) -> Option<Runner> {
        match who {
            Who::Apply => world.apply.filter(|_| !world.stopped),
            Who::Settler => world.settler,
        }
    }

    pub(crate) fn set(&self, world: &mut World, who: Who, runner: Option<Runner>) {
        match who {
            Who::Apply => {
                world.apply = runner;
                // A run that ended by itself has let its watchdog go.
                world.watchdog &= runner.is_some();
            }
            Who::Settler => world.settler = runner,
        }
    }

    /// Whoever settles: reads the journal, syncs it first, and goes by what it says.
    pub(crate) fn settle(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let mut record = world.seen();
        if !self.is(Reading::SettlesUnsynced)
            && let Some(unsynced) = next.unsynced.take()
        {
            next.durable = unsynced;
        }
        let raised =
            world.marker.iter().any(|m| m.raised && m.epoch == record.attempt && m.live != record.from);
        let mut how = settle(record.phase);
        if self.is(Reading::OldCommittedCounts) && how == Settle::Abort && record.committed_before {
            how = Settle::Complete;
            record.phase = Phase::Committed;
        }
        if self.is(Reading::ForwardLeaseGoesBack) && world.forward_lapsed && how == Settle::Complete {
            how = Settle::Abort;
        }
        let behind = how == Settle::Abort && raised && !record.taken_back;
        let believed = !matches!(
            self.reading,
            Reading::TailLostWithoutMarker | Reading::SettlesUnsynced | Reading::ForwardLeaseGoesBack
        );
        if behind && believed {
            next.unknown = true;
            return Some(next);
        }
        let aborting = match how {
            Settle::Nothing => return None,
            Settle::Abort => true,
            Settle::Complete => false,
        };
        next.settler = Some(Runner { record, op: 0, aborting });
        Some(next)
    }

    pub(crate) fn begin(&self, world: &World) -> Option<World> {
        if world.late.iter().any(|l| !matches!(l, Late::Copy(..))) && !self.is(Reading::AbortedWithLateCalls)
        {
            return None;
        }
        let record = world.seen();
        let live = if record.phase == Phase::Soaking { record.to() } else { record.from };
        let attempt = record.attempt + 1;
        let begun = Record {
            attempt,
            from: live,
            phase: Phase::Quiescing,
            fence: 0,
            reverse: None,
            taken_back: false,
            committed_before: record.committed_before,
        };
        let mut next = world.clone();
        next.attempts_left = world.attempts_left.checked_sub(1)?;
        next.durable = begun;
        next.unsynced = None;
        next.apply = Some(Runner { record: begun, op: 0, aborting: false });
        next.watchdog = true;
        next.race = Race::Open;
        (next.lapsed, next.forward_lapsed) = (false, false);
        Some(next)
    }

    pub(crate) fn dies(&self, world: &World, who: Who) -> World {
        let mut next = world.clone();
        match who {
            Who::Apply => (next.apply, next.stopped) = (None, false),
            Who::Settler => next.settler = None,
        }
        next.faults_left -= 1;
        next
    }

    /// Whether the watchdog (or a later command) may settle now: the holder is dead, or its lease is over, that of the
    /// pause or, once hardened, the one after it.
    pub(crate) fn may_settle(&self, world: &World) -> bool {
        if world.settler.is_some() || world.unknown || settle(world.seen().phase) == Settle::Nothing {
            return false;
        }
        if world.apply.is_none() {
            return true;
        }
        world.lapsed
            && match self.reading {
                Reading::LeaseWithoutHardening
                | Reading::LeaseCheckedOnlyAtCommit
                | Reading::SettleWithoutKilling => settle(world.seen().phase) == Settle::Abort,
                _ if world.race != Race::Hardened => true,
                Reading::NoForwardLease => false,
                _ => world.forward_lapsed,
            }
    }

    pub(crate) fn take_over(&self, world: &World) -> Option<World> {
        let mut before = world.clone();
        if world.apply.is_some() {
            if before.race == Race::Open {
                before.race = Race::Expired;
            }
            if !self.is(Reading::SettleWithoutKilling) {
                (before.apply, before.stopped) = (None, false);
            }
        }
        self.settle(&before)
    }
}
