//! An entry of a map that says which backend clients go to.

use segue_contract::{Finding, RouteAt, Severity, Side, StepError};

use super::finding;
use super::runtime::Runtime;

/// An entry, and its value for each side.
pub(super) struct Entry {
    pub(super) map: String,
    pub(super) key: String,
    pub(super) source: String,
    pub(super) target: String,
}

impl Entry {
    fn value(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The values that the map has for the key; `None`: there is no such map.
    fn look(&self, runtime: &Runtime) -> Result<Option<Vec<String>>, StepError> {
        let answer = runtime.ask(&format!("show map {}", self.map))?;
        if answer.starts_with("Unknown map") {
            return Ok(None);
        }
        // An address in memory, the key, the value.
        let value = |line: &str| {
            let (_, rest) = line.trim().split_once(' ')?;
            let (key, value) = rest.split_once(' ')?;
            (key == self.key).then(|| value.trim().to_owned())
        };
        let mut values: Vec<String> = answer.lines().filter_map(value).collect();
        values.sort();
        values.dedup();
        Ok(Some(values))
    }

    /// Where it points.
    pub(super) fn at(&self, runtime: &Runtime) -> Result<RouteAt, StepError> {
        Ok(match self.look(runtime)?.as_deref() {
            None | Some([]) => RouteAt::Missing,
            Some([one]) if *one == self.source => RouteAt::Side(Side::Source),
            Some([one]) if *one == self.target => RouteAt::Side(Side::Target),
            Some(others) => RouteAt::Other(others.join(", ")),
        })
    }

    fn no_map(&self) -> StepError {
        StepError::permanent(format!("HAProxy has no map {}", self.map))
            .remedy("name the map's file as HAProxy's configuration does: show map")
    }

    /// Whether it could be set; by what that is known.
    pub(super) fn settable(&self, runtime: &Runtime) -> Result<String, StepError> {
        let there = self.look(runtime)?;
        there
            .map(|_| "HAProxy has the map, and lets this socket change it".to_owned())
            .ok_or_else(|| self.no_map())
    }

    /// Points it at a side.
    pub(super) fn set(&self, runtime: &Runtime, side: Side) -> Result<(), StepError> {
        match self.look(runtime)?.as_deref() {
            None => Err(self.no_map()),
            Some([]) => runtime.tell(&format!("add map {} {} {}", self.map, self.key, self.value(side))),
            Some([one]) if one == self.value(side) => Ok(()),
            Some(_) => runtime.tell(&self.set_command(side)),
        }
    }

    pub(super) fn set_command(&self, side: Side) -> String {
        format!("set map {} {} {}", self.map, self.key, self.value(side))
    }

    /// What is to be said before anything runs.
    pub(super) fn findings(&self, runtime: &Runtime) -> Result<Vec<Finding>, StepError> {
        if self.look(runtime)?.is_none() {
            let summary = format!("HAProxy has no map {}", self.map);
            let remedy = "name the map's file as HAProxy's configuration does: show map";
            return Ok(vec![finding(Severity::Critical, summary, remedy)]);
        }
        let summary = format!(
            "HAProxy forgets what is set in {} when it is reloaded, and reads the file again",
            self.map
        );
        let remedy = "after the switch write the entry into the file as well; a reload before that is drift";
        Ok(vec![finding(Severity::Warning, summary, remedy)])
    }
}
