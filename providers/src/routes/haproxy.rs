//! `route "haproxy"`: which server of a backend takes the traffic, or what an entry of a map says, changed and observed
//! by HAProxy's runtime API. HAProxy forgets it when it is reloaded: that is drift, and is seen.

mod declared;
mod entry;
mod pool;
mod runtime;
#[cfg(test)]
mod tests;

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Route, RouteAt, Severity,
    Side, StepError, StepIo, SystemPath,
};
use serde_json::json;

use declared::{Declared, Follows};

/// How long the socket may take to answer when the spec says nothing, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 5_000;

pub(super) fn schema() -> BlockSchema {
    let text = |name, doc| AttributeSchema::optional(name, AttributeType::String, doc);
    BlockSchema {
        kind: BlockKind::Route,
        name: "haproxy".to_owned(),
        doc: "Servers of an HAProxy backend by its runtime API: one is ready, the other in maintenance. HAProxy forgets this when it is reloaded, which is seen as drift. Reads go over in steps where they have a backend of their own."
            .to_owned(),
        attributes: vec![
            AttributeSchema::required(
                "socket",
                AttributeType::String,
                "HAProxy's `stats socket` with level admin: a path (`/run/haproxy/admin.sock`; a relative one starts at the spec's directory), or `host:port`.",
            ),
            text("backend", "The backend with the two servers; with `reads_backend` the one for writes."),
            AttributeSchema::required(
                "source",
                AttributeType::String,
                "The name of the source's server in the backend; with `map` the entry's value for the source.",
            ),
            AttributeSchema::required("target", AttributeType::String, "The same for the target."),
            text(
                "reads_backend",
                "The backend that reads go to, where it is not the one for writes: needed for `steps`.",
            ),
            text("reads_source", "The source's server in `reads_backend`. Default: as in `backend`."),
            text("reads_target", "The target's server in `reads_backend`. Default: as in `backend`."),
            text(
                "map",
                "Instead of `backend`: the map (its file as HAProxy's configuration names it) whose entry `map_key` says where clients go.",
            ),
            text("map_key", "The entry of `map`."),
            AttributeSchema::optional(
                "end_sessions",
                AttributeType::Bool,
                "Whether a switch ends the sessions that the side it leaves still has: connections that stay open for long. Default false.",
            )
            .default(json!(false)),
            AttributeSchema::optional(
                "timeout",
                AttributeType::Duration,
                "How long one command may take. Default 5s.",
            )
            .default(json!(TIMEOUT_DEFAULT_MS)),
        ],
    }
}

pub(super) struct Haproxy;

impl Route for Haproxy {
    fn atomic(&self) -> bool {
        false
    }

    fn ttl_ms(&self, _: &BlockRef) -> u64 {
        0
    }

    /// The servers of each backend, or the entry of the map.
    fn declared_places(&self, route: &BlockRef) -> Vec<SystemPath> {
        let Ok(socket) = route.text("socket") else { return Vec::new() };
        let system = format!("HAProxy at {}", runtime::Place::read(socket, &route.base_dir));
        let text = |name: &str| route.config.plain(name).and_then(|v| v.as_str());
        let mut names: Vec<String> = [text("backend"), text("reads_backend")]
            .into_iter()
            .flatten()
            .flat_map(|backend| {
                let servers = ["source", "target"].into_iter().filter_map(text);
                servers.map(move |server| format!("server {server} of backend {backend}"))
            })
            .collect();
        names.extend(text("map").map(|map| format!("{} of map {map}", text("map_key").unwrap_or_default())));
        names.iter().map(|name| SystemPath::named(system.as_str(), name)).collect()
    }

    fn check(&self, route: &BlockRef) -> Vec<Finding> {
        let declared = match Declared::read(route) {
            Ok(declared) => declared,
            Err(error) => {
                let remedy = error.remedy.clone().unwrap_or_else(|| "correct the route".to_owned());
                return vec![finding(Severity::Critical, error.to_string(), &remedy)];
            }
        };
        // A socket that does not answer is told by observing it.
        let runtime = &declared.runtime;
        let mut findings: Vec<Finding> = runtime.findings().into_iter().collect();
        match &declared.follows {
            Follows::Servers { writes, reads } => {
                for pool in [Some(writes), reads.as_ref()].into_iter().flatten() {
                    findings.extend(pool.findings(runtime).unwrap_or_default());
                }
            }
            Follows::Map(entry) => findings.extend(entry.findings(runtime).unwrap_or_default()),
        }
        findings
    }

    fn observe(&self, route: &BlockRef, _: &dyn StepIo) -> Result<RouteAt, StepError> {
        let Declared { runtime, follows, .. } = Declared::read(route)?;
        match &follows {
            Follows::Servers { writes, reads: None } => {
                let seen = writes.look(&runtime)?;
                Ok(seen.map_or(RouteAt::Missing, |seen| seen.at()))
            }
            Follows::Servers { writes, reads: Some(reads) } => {
                let (Some(writes), Some(reads)) = (writes.look(&runtime)?, reads.look(&runtime)?) else {
                    return Ok(RouteAt::Missing);
                };
                Ok(pool::both(&writes, &reads))
            }
            Follows::Map(entry) => entry.at(&runtime),
        }
    }

    fn set(&self, route: &BlockRef, side: Side, _: &dyn StepIo) -> Result<(), StepError> {
        let Declared { runtime, follows, end_sessions } = Declared::read(route)?;
        match &follows {
            Follows::Servers { writes, reads } => {
                // What is missing is told before anything is changed.
                let mut commands = Vec::new();
                for pool in [Some(writes), reads.as_ref()].into_iter().flatten() {
                    commands.extend(pool.there(&runtime)?.turn(side));
                    if end_sessions {
                        commands.push(pool.end_sessions(side.other()));
                    }
                }
                runtime.tell_all(&commands)
            }
            Follows::Map(entry) => entry.set(&runtime, side),
        }
    }

    fn settable(&self, route: &BlockRef, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        let Declared { runtime, follows, .. } = Declared::read(route)?;
        if let Some(Finding { summary, remedy, .. }) = runtime.findings() {
            return Err(StepError::permanent(format!("{}: {summary}", route.address)).remedy(remedy));
        }
        match &follows {
            Follows::Servers { writes, reads } => {
                for pool in [Some(writes), reads.as_ref()].into_iter().flatten() {
                    pool.there(&runtime)?;
                }
                Ok(Some("HAProxy has both servers, and lets this socket change them".to_owned()))
            }
            Follows::Map(entry) => entry.settable(&runtime).map(Some),
        }
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        let Ok(Declared { runtime, follows, end_sessions }) = Declared::read(route) else {
            return String::new();
        };
        let commands = match &follows {
            Follows::Servers { writes, reads } => [Some(writes), reads.as_ref()]
                .into_iter()
                .flatten()
                .flat_map(|pool| {
                    let ended = end_sessions.then(|| pool.end_sessions(side.other()));
                    pool.turn_by_hand(side).into_iter().chain(ended)
                })
                .collect(),
            Follows::Map(entry) => vec![entry.set_command(side)],
        };
        runtime.by_hand(&commands)
    }

    fn can_weigh(&self, route: &BlockRef) -> bool {
        let declared = Declared::read(route);
        declared.is_ok_and(|d| matches!(d.follows, Follows::Servers { reads: Some(_), .. }))
    }

    fn weigh(&self, route: &BlockRef, target_percent: u8, _: &dyn StepIo) -> Result<(), StepError> {
        let Declared { runtime, follows, .. } = Declared::read(route)?;
        let Follows::Servers { reads: Some(reads), .. } = &follows else {
            let what = format!("{} has no backend of its own for reads", route.address);
            return Err(StepError::permanent(what)
                .remedy("name it in reads_backend, or leave steps out of the switch block"));
        };
        runtime.tell_all(&reads.there(&runtime)?.weigh(target_percent))
    }
}

fn finding(severity: Severity, summary: String, remedy: &str) -> Finding {
    Finding { severity, code: "ROUTE_HAPROXY".to_owned(), summary, remedy: remedy.to_owned() }
}
