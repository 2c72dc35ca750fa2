//! Records that passes set aside: what is missing at the other side, why, and what somebody accepts (protocol P24).

use segue_contract::{Address, SetAside};
use segue_language::{Desired, WaiverDecl};

use super::unit::UnitRef;
use super::{Ground, RunError, RunEvent};

/// Records of a kind that are told by name; `segue status` lists more.
const NAMED_MAX: usize = 20;

/// What was left out of a unit, sorted by whether somebody accepts it.
#[derive(Debug, Default)]
pub(super) struct LeftOut<'a> {
    /// Named by a waiver, with its reason.
    waived: Vec<(&'a SetAside, &'a str)>,
    /// Not waived, as far as it is listed.
    open: Vec<&'a SetAside>,
    /// Not waived, in all.
    pub(super) open_total: u64,
}

impl<'a> LeftOut<'a> {
    /// Of a list that may be cut: what is not listed is waived by nobody.
    pub(super) fn of(waivers: &'a [WaiverDecl], listed: &'a [SetAside], total: u64) -> Self {
        let mut found = Self { open_total: total, ..Self::default() };
        for record in listed {
            match WaiverDecl::of_left_out(waivers, &record.key) {
                Some(waiver) => {
                    found.waived.push((record, waiver.reason.as_str()));
                    found.open_total = found.open_total.saturating_sub(1);
                }
                None => found.open.push(record),
            }
        }
        found
    }

    /// Tells each record with its reason, as many as fit.
    pub(super) fn tell(&self, ground: &Ground, step: &Address) {
        let mut lines: Vec<String> = Vec::new();
        for record in self.open.iter().take(NAMED_MAX) {
            lines.push(format!("{step}: missing, set aside: {}: {}", record.key, record.reason));
        }
        for (record, why) in self.waived.iter().take(NAMED_MAX) {
            lines.push(format!("{step}: missing, waived ({why}): {}: {}", record.key, record.reason));
        }
        let all = self.open_total.saturating_add(self.waived.len() as u64);
        match all.saturating_sub(lines.len() as u64) {
            0 => {}
            more => lines.push(format!("{step}: and {more} more are missing")),
        }
        if !lines.is_empty() {
            ground.tell(&RunEvent::Said { text: lines.join("\n") });
        }
    }

    /// One of those that nobody waived, for an error.
    pub(super) fn first(&self) -> String {
        self.open
            .first()
            .map_or_else(|| "not listed".to_owned(), |record| format!("{} ({})", record.key, record.reason))
    }

    /// How it is told after what is equal: empty where nothing is missing.
    pub(super) fn said(&self) -> String {
        match (self.open_total, self.waived.len()) {
            (0, 0) => String::new(),
            (0, waived) => format!("; {waived} more missing and waived"),
            (open, 0) => format!("; {open} more MISSING, set aside"),
            (open, waived) => format!("; {open} more MISSING, set aside, and {waived} missing and waived"),
        }
    }
}

/// What passes left out of the units of this spec and nobody waived, an error a unit.
pub fn left_out(ground: &Ground, desired: &Desired) -> Vec<RunError> {
    let mut errors = Vec::new();
    for (unit, record) in units(ground, desired) {
        let waivers = desired.waivers_of(&unit.migration);
        let found = LeftOut::of(&waivers, &record.0, record.1);
        if found.open_total > 0 {
            errors.push(RunError::LeftOut {
                step: unit.step("sync"),
                total: found.open_total,
                first: found.first(),
            });
        }
    }
    errors
}

/// Tells what was left out of every unit, also what is waived.
pub(super) fn tell_all(ground: &Ground, desired: &Desired) {
    for (unit, record) in units(ground, desired) {
        let waivers = desired.waivers_of(&unit.migration);
        LeftOut::of(&waivers, &record.0, record.1).tell(ground, &unit.step("sync"));
    }
}

/// The units of this spec that are not finished, and what their last passes set aside.
fn units(ground: &Ground, desired: &Desired) -> Vec<(UnitRef, (Vec<SetAside>, u64))> {
    ground.recorder.look(|state| {
        let mut found = Vec::new();
        for address in desired.migrations.keys() {
            let finished = state.cutover_of(address).is_some_and(|c| c.finished);
            let Some(known) = state.migrations.get(address).filter(|_| !finished) else { continue };
            for (name, unit) in known.units.iter().filter(|(_, unit)| unit.set_aside_total > 0) {
                let of = UnitRef { migration: address.clone(), unit: name.clone() };
                found.push((of, (unit.set_aside.clone(), unit.set_aside_total)));
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waived_is_told_with_its_reason_and_what_is_not_listed_is_waived_by_nobody() {
        let set = |key: &str| SetAside { key: key.to_owned(), reason: "cannot be read".to_owned() };
        let waivers = [WaiverDecl {
            code: segue_language::SET_ASIDE.to_owned(),
            keys: vec!["run/*".to_owned()],
            reason: "sockets".to_owned(),
        }];
        let listed = [set("run/a"), set("data/b")];
        let found = LeftOut::of(&waivers, &listed, 5);
        assert_eq!((found.open_total, found.first().as_str()), (4, "data/b (cannot be read)"));
        assert_eq!(found.said(), "; 4 more MISSING, set aside, and 1 missing and waived");
        let waived = LeftOut::of(&waivers, &listed[..1], 1);
        assert_eq!((waived.open_total, waived.said().as_str()), (0, "; 1 more missing and waived"));
        assert_eq!(LeftOut::of(&waivers, &[], 0).said(), "");
    }
}
