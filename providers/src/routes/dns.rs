//! `route "dns"`: a record set at its authoritative server, changed by dynamic update (RFC 2136), signed by TSIG
//! (RFC 8945). A change is a compare-and-set: its prerequisites say what was seen just before, so that of two who
//! change the record one is refused.

mod declared;
mod exchange;
mod message;
mod seen;

use std::time::Duration;

use domain::base::iana::Rcode;
use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Route, RouteAt, Severity,
    Side, StepError, StepIo, SystemPath,
};
use serde_json::json;

use crate::command::quoted;
use declared::Declared;
use exchange::{Lost, Server};
use message::Change;
use seen::Seen;

/// How long clients may keep an answer when the spec says nothing, in milliseconds.
const TTL_DEFAULT_MS: u64 = 60_000;
/// How long an exchange may take when the spec says nothing, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 5_000;
/// How long the server is asked for the TTL alone: forecasts and reports ask for it, and have the declared one.
const TTL_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn schema() -> BlockSchema {
    let text = |name, doc| AttributeSchema::optional(name, AttributeType::String, doc);
    BlockSchema {
        kind: BlockKind::Route,
        name: "dns".to_owned(),
        doc: "A record set at its authoritative server, changed by dynamic update (RFC 2136) with TSIG: a compare-and-set, so that a change of somebody else is told and not overwritten. Other records at the name are left alone."
            .to_owned(),
        attributes: vec![
            AttributeSchema::required(
                "server",
                AttributeType::String,
                "The authoritative server that takes updates, `ns1.example.com`, `192.0.2.53:5353`, `[2001:db8::53]:53`. Default port 53.",
            ),
            AttributeSchema::required("zone", AttributeType::String, "The zone that the record lies in, `example.com.`."),
            AttributeSchema::required(
                "name",
                AttributeType::String,
                "The record's name: below the zone (`search`), whole with a dot at its end (`search.example.com.`), or `@` for the zone itself.",
            ),
            text("type", "Of what type the record is. By default as the values are: A, AAAA, or CNAME.")
                .allowed(&["A", "AAAA", "CNAME", "TXT"]),
            AttributeSchema::optional(
                "ttl",
                AttributeType::Duration,
                "How long clients may keep an answer, whole seconds. Default 60s.",
            )
            .default(json!(TTL_DEFAULT_MS)),
            AttributeSchema::required(
                "source",
                AttributeType::OneOrMore,
                "The record's value for the source, or its values.",
            ),
            AttributeSchema::required(
                "target",
                AttributeType::OneOrMore,
                "The record's value for the target, or its values.",
            ),
            AttributeSchema::optional(
                "replace_others",
                AttributeType::Bool,
                "Whether a value that is neither side's is replaced as well. Default false: it is told, and left.",
            )
            .default(json!(false)),
            text("key_name", "The name of the TSIG key, with `key_secret`. Without a key updates are not signed."),
            text("key_algorithm", "The algorithm of the TSIG key.")
                .default(json!("hmac-sha256"))
                .allowed(&["hmac-sha256", "hmac-sha512"]),
            text("key_secret", "The TSIG key, base64 as in the server's configuration.").secret(),
            AttributeSchema::optional(
                "timeout",
                AttributeType::Duration,
                "How long one exchange with the server may take, with what is sent again, and over TCP at last. Default 5s.",
            )
            .default(json!(TIMEOUT_DEFAULT_MS)),
        ],
    }
}

pub(super) struct Dns;

/// A look at the record, and what the spec says of it.
fn look(route: &BlockRef, io: &dyn StepIo) -> Result<(Declared, Server, Seen), StepError> {
    let declared = Declared::read(route)?;
    let server = Server::new(route, declared.timeout)?.signed(declared.key(route, io)?);
    let seen = seen::look(&server, &declared)?;
    Ok((declared, server, seen))
}

impl Route for Dns {
    fn atomic(&self) -> bool {
        false
    }

    fn ttl_ms(&self, route: &BlockRef) -> u64 {
        let Ok(declared) = Declared::read(route) else { return 0 };
        let there = Server::new(route, TTL_PATIENCE.min(declared.timeout))
            .and_then(|server| seen::look(&server, &declared))
            .map_or(0, |seen| seen.ttl_s);
        u64::from(there.max(declared.ttl_s)) * 1000
    }

    /// The record set, whichever server of the zone is asked. Names are compared without case.
    fn declared_places(&self, route: &BlockRef) -> Vec<SystemPath> {
        let Ok(declared) = Declared::read(route) else { return Vec::new() };
        let zone = declared.zone.to_string().to_ascii_lowercase();
        let record = format!("{} {}", declared.name.to_string().to_ascii_lowercase(), declared.kind);
        vec![SystemPath::named(format!("the zone {zone}"), &record)]
    }

    fn check(&self, route: &BlockRef) -> Vec<Finding> {
        let declared = match Declared::read(route) {
            Ok(declared) => declared,
            Err(error) => return vec![finding(Severity::Critical, error.to_string(), error.remedy)],
        };
        let mut findings = declared.findings(route);
        if let Err(error) = exchange::host_and_port(route) {
            findings.push(finding(Severity::Critical, error.to_string(), error.remedy));
            return findings;
        }
        // A server that cannot be asked is told by observing it.
        let Ok(server) = Server::new(route, declared.timeout) else { return findings };
        if let Ok(seen) = seen::look(&server, &declared) {
            let by_hand = match seen.at(&declared) {
                RouteAt::Side(side) => self.set_by_hand(route, side),
                _ => String::new(),
            };
            findings.extend(seen.findings(&declared, &by_hand));
        }
        if let Ok(others) = seen::others(&server, &declared) {
            findings.extend(seen::others_findings(&declared, &others));
        }
        findings
    }

    fn observe(&self, route: &BlockRef, io: &dyn StepIo) -> Result<RouteAt, StepError> {
        let (declared, _, seen) = look(route, io)?;
        Ok(seen.at(&declared))
    }

    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError> {
        let (declared, server, seen) = look(route, io)?;
        if seen.is(&declared, side) {
            return Ok(());
        }
        ours(route, &declared, &seen, side)?;
        let update = message::update(&declared, &seen, Change::To(side));
        let (lost, stale) = match server.ask(update) {
            Ok(reply) => {
                let rcode = reply.header().rcode();
                if let Some(error) = refused(&declared, &server, rcode) {
                    return Err(error);
                }
                (None, rcode != Rcode::NOERROR)
            }
            Err(Lost::Answer(what)) => (Some(what), false),
            Err(lost) => return Err(lost.of_update()),
        };
        // What the server says now counts: an answer may be lost, and a first try may have been done before a second
        // one was refused.
        let now = seen::look(&server, &declared)
            .map_err(|error| StepError { class: segue_contract::ErrorClass::Unknown, ..error })?;
        match now.at(&declared) {
            _ if now.is(&declared, side) => Ok(()),
            at if !stale && now.same(&seen) => Err(not_done(&declared, &server, lost, &at)),
            RouteAt::Other(what) => Err(changed(route, &what, side)),
            at => Err(StepError::transient(format!(
                "{}: somebody else changed {} between the look and the update: {}",
                route.address,
                declared.shown(),
                said(&at)
            ))
            .remedy("find out who: another tool may hold this record as well")),
        }
    }

    fn settable(&self, route: &BlockRef, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        let (declared, server, seen) = look(route, io)?;
        let side = if seen.is(&declared, Side::Source) { Side::Target } else { Side::Source };
        ours(route, &declared, &seen, side)?;
        let reply = server.ask(message::update(&declared, &seen, Change::Nothing)).map_err(Lost::of_query)?;
        match reply.header().rcode() {
            Rcode::NOERROR => Ok(Some(format!("{} would update {}", server.name, declared.shown()))),
            rcode => Err(refused(&declared, &server, rcode).unwrap_or_else(|| {
                StepError::transient(format!(
                    "{}: somebody else is changing {}",
                    route.address,
                    declared.shown()
                ))
                .remedy("find out who: another tool may hold this record as well")
            })),
        }
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        let Ok(declared) = Declared::read(route) else { return String::new() };
        let Ok((host, port)) = exchange::host_and_port(route) else { return String::new() };
        let (name, kind) = (declared.name_text(), declared.kind);
        let mut lines = vec![
            format!("server {host} {port}"),
            format!("zone {}", declared.zone_text()),
            format!("update delete {name} {kind}"),
        ];
        for value in declared.values(side) {
            lines.push(format!("update add {name} {} {kind} {}", declared.ttl_s, value.text));
        }
        lines.push("send".to_owned());
        let signed = if declared.key_name.is_some() { " -k KEYFILE" } else { "" };
        let printf = [vec!["printf".to_owned(), "%s\\n".to_owned()], lines].concat();
        format!("{} | nsupdate{signed}", quoted(&printf))
    }
}

fn finding(severity: Severity, summary: String, remedy: Option<String>) -> Finding {
    let remedy = remedy.unwrap_or_else(|| "correct the route".to_owned());
    Finding { severity, code: "ROUTE_DNS".to_owned(), summary, remedy }
}

fn said(at: &RouteAt) -> String {
    match at {
        RouteAt::Side(side) => format!("it points to the {side} now"),
        RouteAt::Missing => "it is gone now".to_owned(),
        RouteAt::Weighted(percent) => format!("{percent} % go to the target now"),
        RouteAt::Other(what) => format!("it is {what} now"),
    }
}

/// Whether what is there may be replaced.
fn ours(route: &BlockRef, declared: &Declared, seen: &Seen, side: Side) -> Result<(), StepError> {
    match seen.at(declared) {
        RouteAt::Other(what) if !declared.replace_others || seen.alias.is_some() => {
            Err(changed(route, &what, side))
        }
        _ => Ok(()),
    }
}

fn changed(route: &BlockRef, what: &str, side: Side) -> StepError {
    let by_hand = Dns.set_by_hand(route, side);
    StepError::permanent(format!(
        "{}: somebody else changed the record: it is {what} now, which is neither side's, and is left as it is",
        route.address
    ))
    .remedy(format!("find out who; then replace_others = true, or by hand: {by_hand}"))
}

/// The update was answered, or not, and nothing is different.
fn not_done(declared: &Declared, server: &Server, lost: Option<String>, at: &RouteAt) -> StepError {
    let name = declared.shown();
    match lost {
        Some(what) => StepError::unknown(format!("{what}; {name} is not changed yet ({})", said(at)))
            .remedy("see whether the server is well; the update may still be done"),
        None => StepError::permanent(format!(
            "{} took the update of {name}, and did not do it: {}",
            server.name,
            said(at)
        ))
        .remedy("a CNAME and other records cannot have one name: take one of them away"),
    }
}

/// Why an update was not done; `None`: it was, or what was seen before is not there any more.
fn refused(declared: &Declared, server: &Server, rcode: Rcode) -> Option<StepError> {
    let (server, name) = (&server.name, declared.shown());
    let zone = declared.zone_text();
    Some(match rcode {
        Rcode::NOERROR | Rcode::YXDOMAIN | Rcode::YXRRSET | Rcode::NXRRSET | Rcode::NXDOMAIN => return None,
        Rcode::REFUSED => StepError::permanent(format!("{server} refuses the update of {name} (REFUSED)"))
            .remedy("let this key change this name and type there: update-policy, or allow-update"),
        Rcode::NOTAUTH => {
            StepError::permanent(format!("{server} is not the primary of zone {zone} (NOTAUTH)"))
                .remedy("name the primary in `server`, and its zone in `zone`")
        }
        Rcode::NOTZONE => StepError::permanent(format!("{name} does not lie in zone {zone} (NOTZONE)"))
            .remedy("name the zone that the record lies in"),
        Rcode::SERVFAIL => {
            StepError::transient(format!("{server} could not do the update of {name} (SERVFAIL)"))
                .remedy("see the server's log: its disk may be full, or its zone's files not its own")
        }
        Rcode::NOTIMP | Rcode::FORMERR => {
            StepError::permanent(format!("{server} takes no dynamic updates ({rcode})"))
                .remedy("switch them on there, or use route \"command\"")
        }
        other => StepError::permanent(format!("{server} answered the update of {name} with {other}"))
            .remedy("see the server's log"),
    })
}
