//! What a block says: where the socket is, and what clients follow.

use std::time::Duration;

use segue_contract::{BlockRef, StepError};

use super::TIMEOUT_DEFAULT_MS;
use super::entry::Entry;
use super::pool::Pool;
use super::runtime::{Place, Runtime};

/// What a block says.
pub(super) struct Declared {
    pub(super) runtime: Runtime,
    pub(super) follows: Follows,
    pub(super) end_sessions: bool,
}

/// What clients follow.
pub(super) enum Follows {
    /// Which of two servers is ready.
    Servers {
        writes: Pool,
        /// Where reads have servers of their own.
        reads: Option<Pool>,
    },
    /// What an entry of a map says.
    Map(Entry),
}

impl Declared {
    /// Reads a block.
    pub(super) fn read(route: &BlockRef) -> Result<Self, StepError> {
        let timeout = Duration::from_millis(route.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT_MS));
        let place = Place::read(route.text("socket")?, &route.base_dir);
        Ok(Self {
            runtime: Runtime::new(&route.address, place, timeout),
            follows: follows(route)?,
            end_sessions: route.flag("end_sessions")?.unwrap_or(false),
        })
    }
}

fn follows(route: &BlockRef) -> Result<Follows, StepError> {
    let wrong = |what: String, remedy: &str| {
        Err(StepError::permanent(format!("{}: {what}", route.address)).remedy(remedy))
    };
    let optional = |name: &str| route.config.plain(name).and_then(|v| v.as_str()).map(str::to_owned);
    let (source, target) = (route.text("source")?.to_owned(), route.text("target")?.to_owned());
    for name in
        ["backend", "source", "target", "reads_backend", "reads_source", "reads_target", "map", "map_key"]
    {
        if let Some(text) = optional(name).filter(|text| !is_word(text, name.starts_with("map"))) {
            let what = format!("{name} {text:?} is no name of HAProxy");
            return wrong(what, "write it as HAProxy's configuration does");
        }
    }
    if source == target {
        return wrong("source and target are the same".to_owned(), "the route must tell the sides apart");
    }
    let reads = ["reads_backend", "reads_source", "reads_target"].into_iter().find(|n| optional(n).is_some());
    match (optional("backend"), optional("map"), optional("map_key")) {
        (Some(backend), None, None) => {
            let reads = match (optional("reads_backend"), reads) {
                (Some(reads), _) if reads == backend => {
                    return wrong(
                        "reads_backend is the backend for writes".to_owned(),
                        "weights there would send writes to both sides: give reads a backend of their own",
                    );
                }
                (Some(backend), _) => Some(Pool {
                    backend,
                    source: optional("reads_source").unwrap_or_else(|| source.clone()),
                    target: optional("reads_target").unwrap_or_else(|| target.clone()),
                }),
                (None, Some(name)) => {
                    return wrong(format!("{name} is there without reads_backend"), "write reads_backend");
                }
                (None, None) => None,
            };
            if reads.as_ref().is_some_and(|pool| pool.source == pool.target) {
                let what = "reads_source and reads_target are the same".to_owned();
                return wrong(what, "the route must tell the sides apart");
            }
            Ok(Follows::Servers { writes: Pool { backend, source, target }, reads })
        }
        (None, Some(map), Some(key)) if reads.is_none() => {
            Ok(Follows::Map(Entry { map, key, source, target }))
        }
        (None, Some(_), Some(_)) => wrong(
            "a map's entry cannot send a part of the reads elsewhere".to_owned(),
            "use backend and reads_backend",
        ),
        (None, Some(_), None) | (None, None, Some(_)) => {
            wrong("only one of map and map_key is there".to_owned(), "write both")
        }
        (Some(_), _, _) => wrong("there are both a backend and a map".to_owned(), "write one of the two"),
        (None, None, None) => {
            wrong("there is neither a backend nor a map".to_owned(), "write backend, or map and map_key")
        }
    }
}

/// Whether a text is one word of the runtime API, and nothing but that.
fn is_word(text: &str, of_a_map: bool) -> bool {
    let ends_it = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ';' | '\\' | '<');
    let parts_it = |c: char| !of_a_map && matches!(c, '/' | '#');
    !text.is_empty() && !text.contains(|c: char| ends_it(c) || parts_it(c))
}
