//! Two servers of a backend, one for each side: as they are, and the commands that change them.

use std::collections::BTreeMap;

use segue_contract::{Finding, RouteAt, Severity, Side, StepError};

use super::finding;
use super::runtime::Runtime;

/// The flags of `srv_admin_state` that keep a server from new traffic: in maintenance (set, inherited, or its name not
/// resolved), or draining. The remaining one says that the configuration has it `disabled`, whatever was set since.
const OFF: u32 = 0x7b;
/// Of these, those that keep it from all traffic, and were set.
const MAINTENANCE: u32 = 0x01;
/// The configuration says `disabled`.
const DISABLED: u32 = 0x04;
/// What a server gets that the configuration gave no weight.
const WEIGHT: u32 = 100;

/// Two servers of a backend.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) backend: String,
    pub(super) source: String,
    pub(super) target: String,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    admin: u32,
    weight: u32,
    initial: u32,
}

/// The two servers as they are.
pub(super) struct Seen<'a> {
    pool: &'a Pool,
    source: Server,
    target: Server,
}

impl Server {
    fn is_on(&self) -> bool {
        self.admin & OFF == 0 && self.weight > 0
    }

    /// Whether the configuration lets it take traffic: what a reload makes of it.
    fn starts_on(&self) -> bool {
        self.admin & DISABLED == 0 && self.initial > 0
    }
}

/// The servers in the table that `show servers state` prints.
fn table(answer: &str, backend: &str) -> Option<BTreeMap<String, Server>> {
    let mut lines = answer.lines();
    let columns: Vec<&str> = lines.find_map(|line| line.strip_prefix("# "))?.split(' ').collect();
    let column = |name: &str| columns.iter().position(|c| *c == name);
    let (in_backend, name) = (column("be_name")?, column("srv_name")?);
    let (admin, weight, initial) =
        (column("srv_admin_state")?, column("srv_uweight")?, column("srv_iweight")?);
    let mut found = BTreeMap::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
        if *words.get(in_backend)? == backend {
            let server = Server { admin: number(admin)?, weight: number(weight)?, initial: number(initial)? };
            found.insert((*words.get(name)?).to_owned(), server);
        }
    }
    Some(found)
}

impl Pool {
    fn name(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn shown(&self, side: Side) -> String {
        format!("{}/{}", self.backend, self.name(side))
    }

    fn servers(&self, runtime: &Runtime) -> Result<BTreeMap<String, Server>, StepError> {
        let answer = runtime.ask(&format!("show servers state {}", self.backend))?;
        if answer.starts_with("Can't find backend") {
            return Ok(BTreeMap::new());
        }
        table(&answer, &self.backend).ok_or_else(|| {
            StepError::permanent(format!(
                "HAProxy's servers of backend {} cannot be read: {}",
                self.backend,
                crate::http::beginning(&answer)
            ))
        })
    }

    /// Both servers as they are; `None`: one of them is not there.
    pub(super) fn look(&self, runtime: &Runtime) -> Result<Option<Seen<'_>>, StepError> {
        let mut servers = self.servers(runtime)?;
        let found = (servers.remove(&self.source), servers.remove(&self.target));
        let (Some(source), Some(target)) = found else { return Ok(None) };
        Ok(Some(Seen { pool: self, source, target }))
    }

    /// Both servers as they are.
    ///
    /// # Errors
    /// One of them is not there.
    pub(super) fn there(&self, runtime: &Runtime) -> Result<Seen<'_>, StepError> {
        self.look(runtime)?.ok_or_else(|| {
            StepError::permanent(format!(
                "HAProxy has no servers {} and {}",
                self.shown(Side::Source),
                self.shown(Side::Target)
            ))
            .remedy("see what it has: show servers state")
        })
    }

    /// The commands for somebody who has not looked.
    pub(super) fn turn_by_hand(&self, side: Side) -> Vec<String> {
        vec![
            format!("set server {} state ready", self.shown(side)),
            format!("set server {} weight 100%", self.shown(side)),
            format!("set server {} state maint", self.shown(side.other())),
        ]
    }

    pub(super) fn end_sessions(&self, side: Side) -> String {
        format!("shutdown sessions server {}", self.shown(side))
    }

    /// What is to be said before anything runs.
    pub(super) fn findings(&self, runtime: &Runtime) -> Result<Vec<Finding>, StepError> {
        let servers = self.servers(runtime)?;
        let mut findings = Vec::new();
        for side in [Side::Source, Side::Target] {
            if !servers.contains_key(self.name(side)) {
                let names: Vec<&str> = servers.keys().map(String::as_str).collect();
                let known = match names.as_slice() {
                    [] => format!("HAProxy has no backend {} with servers", self.backend),
                    names => format!("backend {} has {}", self.backend, names.join(", ")),
                };
                let summary = format!("HAProxy has no server {}", self.shown(side));
                findings.push(finding(Severity::Critical, summary, &known));
            }
        }
        let ours = |name: &str| name == self.source || name == self.target;
        let backups = self.backups(runtime)?;
        let others: Vec<&str> = servers
            .iter()
            .filter(|(name, server)| !ours(name) && server.is_on() && !backups.contains(name))
            .map(|(name, _)| name.as_str())
            .collect();
        if !others.is_empty() {
            let summary = format!(
                "backend {} also has {}, ready: a part of the traffic goes there, wherever this route points",
                self.backend,
                others.join(", ")
            );
            let remedy = "take them out of the backend, or put them into maintenance";
            findings.push(finding(Severity::Warning, summary, remedy));
        }
        if let (Some(source), Some(target)) = (servers.get(&self.source), servers.get(&self.target)) {
            let seen = Seen { pool: self, source: source.clone(), target: target.clone() };
            findings.push(seen.after_a_reload());
        }
        Ok(findings)
    }

    /// The servers that take traffic only when all others are down.
    fn backups(&self, runtime: &Runtime) -> Result<Vec<String>, StepError> {
        let answer = runtime.ask("show stat")?;
        let mut lines = answer.lines();
        let head = lines.next().unwrap_or_default().trim_start_matches("# ");
        let Some(backup) = head.split(',').position(|column| column == "bck") else { return Ok(Vec::new()) };
        let name = |line: &str| {
            let words: Vec<&str> = line.split(',').collect();
            let is_one = *words.first()? == self.backend && *words.get(backup)? == "1";
            is_one.then(|| words.get(1).map(|name| (*name).to_owned()))?
        };
        Ok(lines.filter_map(name).collect())
    }
}

impl Seen<'_> {
    fn server(&self, side: Side) -> &Server {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// How many percent of the new traffic go to the target; `None`: all of it is refused.
    fn share(&self) -> Option<u8> {
        let weight = |server: &Server| if server.is_on() { server.weight } else { 0 };
        let (source, target) = (weight(&self.source), weight(&self.target));
        match (source, target) {
            (0, 0) => None,
            (_, 0) => Some(0),
            (0, _) => Some(100),
            (source, target) => {
                let percent = (target * 100 + (source + target) / 2) / (source + target);
                Some(u8::try_from(percent.clamp(1, 99)).unwrap_or(99))
            }
        }
    }

    fn said(&self) -> String {
        let backend = &self.pool.backend;
        match self.share() {
            None => format!("neither {} nor {} of {backend} ready", self.pool.source, self.pool.target),
            Some(0) => format!("{} of {backend}", self.pool.source),
            Some(100) => format!("{} of {backend}", self.pool.target),
            Some(percent) => {
                let (source, target) = (&self.pool.source, &self.pool.target);
                format!("both {source} and {target} of {backend} ready, {percent} % to {target}")
            }
        }
    }

    /// Where it points, if reads are not apart.
    pub(super) fn at(&self) -> RouteAt {
        match self.share() {
            Some(0) => RouteAt::Side(Side::Source),
            Some(100) => RouteAt::Side(Side::Target),
            _ => RouteAt::Other(self.said()),
        }
    }

    fn weight_of(&self, side: Side) -> String {
        if self.server(side).initial > 0 { "100%".to_owned() } else { WEIGHT.to_string() }
    }

    /// The commands that send all traffic to a side: it takes traffic before the other one ceases to, so that none
    /// is refused.
    pub(super) fn turn(&self, side: Side) -> Vec<String> {
        let mut commands = Vec::new();
        let mut restore = |side: Side| {
            let Server { weight, initial, .. } = self.server(side);
            if *weight == 0 || (*initial > 0 && weight != initial) {
                commands.push(format!(
                    "set server {} weight {}",
                    self.pool.shown(side),
                    self.weight_of(side)
                ));
            }
        };
        restore(side);
        let other = self.server(side.other());
        if self.server(side).admin & OFF != 0 {
            commands.push(format!("set server {} state ready", self.pool.shown(side)));
        }
        if other.admin & MAINTENANCE == 0 {
            commands.push(format!("set server {} state maint", self.pool.shown(side.other())));
        }
        // What a step left of its weight would count when it is ready again.
        if other.initial > 0 && other.weight != other.initial {
            commands.push(format!("set server {} weight 100%", self.pool.shown(side.other())));
        }
        commands
    }

    /// The commands that send a part of the traffic to the target.
    pub(super) fn weigh(&self, target_percent: u8) -> Vec<String> {
        if target_percent == 0 {
            return self.turn(Side::Source);
        }
        let mut commands = Vec::new();
        let weights = [(Side::Source, 100 - target_percent.min(100)), (Side::Target, target_percent)];
        for (side, weight) in weights {
            if self.server(side).weight != u32::from(weight) {
                commands.push(format!("set server {} weight {weight}", self.pool.shown(side)));
            }
        }
        for side in [Side::Source, Side::Target] {
            if self.server(side).admin & OFF != 0 {
                commands.push(format!("set server {} state ready", self.pool.shown(side)));
            }
        }
        commands
    }

    /// What a reload would make of it.
    fn after_a_reload(&self) -> Finding {
        let backend = &self.pool.backend;
        let start = match (self.source.starts_on(), self.target.starts_on()) {
            (true, false) => Some(0),
            (false, true) => Some(100),
            _ => None,
        };
        let remedy = "load the state at its start (server-state-file, load-server-state-from-file global, and `show servers state` written to that file before each reload), or write the switch into the configuration as well";
        match (start, self.share()) {
            (Some(start), Some(now)) if start == now => {
                let at = if now == 0 { Side::Source } else { Side::Target };
                let summary = format!(
                    "HAProxy forgets a switch of backend {backend} when it is reloaded: its configuration says {at}"
                );
                finding(Severity::Info, summary, remedy)
            }
            (start, _) => {
                let says = match start {
                    Some(0) => format!("sends all to {}", self.pool.source),
                    Some(_) => format!("sends all to {}", self.pool.target),
                    None => "tells the two servers not apart".to_owned(),
                };
                let summary = format!(
                    "a reload of HAProxy would move backend {backend}: its configuration {says}, and it is at {} now",
                    self.said()
                );
                finding(Severity::Warning, summary, remedy)
            }
        }
    }
}

/// Where a route points whose reads have servers of their own.
pub(super) fn both(writes: &Seen<'_>, reads: &Seen<'_>) -> RouteAt {
    match (writes.at(), reads.share()) {
        (RouteAt::Side(Side::Source), Some(share @ 0..100)) => RouteAt::weighted(share),
        (RouteAt::Side(Side::Target), Some(100)) => RouteAt::Side(Side::Target),
        (at @ (RouteAt::Other(_) | RouteAt::Missing | RouteAt::Weighted(_)), _) => match at {
            RouteAt::Other(what) => RouteAt::Other(format!("writes: {what}")),
            other => other,
        },
        (RouteAt::Side(_), _) => {
            RouteAt::Other(format!("writes to {}, reads to {}", writes.said(), reads.said()))
        }
    }
}
