//! What is there: the record set as its authoritative server tells it, and what else lies at the name.

use domain::base::Message;
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::name::{ParsedName, ToName};
use domain::base::record::ParsedRecord;
use domain::rdata::{A, Aaaa, Cname, Soa, Txt};
use segue_contract::{Finding, RouteAt, Severity, Side, StepError};

use super::declared::{Declared, Kind, Value, WireName, same};
use super::exchange::{Answer, Server};
use super::{finding, message};

/// What is asked for one by one where a server does not tell all that it has (RFC 8482).
const ASKED: [Rtype; 9] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::CNAME,
    Rtype::TXT,
    Rtype::MX,
    Rtype::SRV,
    Rtype::NS,
    Rtype::CAA,
    Rtype::HTTPS,
];
/// What lies beside every record that is signed (RFC 4034): no record of anybody.
const SIGNATURES: [Rtype; 5] = [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::DNSKEY, Rtype::NSEC3PARAM];

/// A record set.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) values: Vec<Value>,
    /// How long clients may keep this answer, also that there is none, in seconds.
    pub(super) ttl_s: u32,
    /// The CNAME that lies there instead.
    pub(super) alias: Option<String>,
}

/// Looks at the record of a block.
///
/// # Errors
/// No answer, or one of a server that is not the zone's.
pub(super) fn look(server: &Server, declared: &Declared) -> Result<Seen, StepError> {
    let answer =
        server.ask(message::query(&declared.name, declared.kind.rtype())).map_err(|e| e.of_query())?;
    let (shown, name) = (declared.shown(), &server.name);
    let header = answer.header();
    match header.rcode() {
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        Rcode::SERVFAIL => {
            return Err(StepError::transient(format!("{name} cannot tell {shown} (SERVFAIL)"))
                .remedy("see the server's log: its zone may not be loaded"));
        }
        other => {
            return Err(StepError::permanent(format!("{name} does not tell {shown} ({other})"))
                .remedy("let this machine, or this key, ask it: allow-query"));
        }
    }
    if !header.aa() {
        return Err(StepError::permanent(format!("{name} is not an authority for {shown}"))
            .remedy("name the zone's primary server in `server`"));
    }
    read(&answer, declared)
        .ok_or_else(|| StepError::permanent(format!("the answer of {name} about {shown} cannot be read")))
}

fn read(answer: &Answer, declared: &Declared) -> Option<Seen> {
    let mut seen = Seen { values: Vec::new(), ttl_s: 0, alias: None };
    for record in answer.answer().ok()?.flatten().filter(|record| is_at(record, &declared.name)) {
        let ttl_s = record.ttl().as_secs();
        if record.rtype() == declared.kind.rtype() {
            seen.values.push(value(&record, declared.kind)?);
            seen.ttl_s = ttl_s;
        } else if record.rtype() == Rtype::CNAME {
            seen.alias = value(&record, Kind::Cname).map(|value| value.text);
            seen.ttl_s = ttl_s;
        }
    }
    if seen.values.is_empty() && seen.alias.is_none() {
        // How long clients keep that there is nothing (RFC 2308, 5).
        let soa = answer.authority().ok()?.flatten().find(|record| record.rtype() == Rtype::SOA);
        let minimum = soa.and_then(|record| {
            let soa = record.to_record::<Soa<ParsedName<&[u8]>>>().ok()??;
            Some(soa.data().minimum().as_secs().min(record.ttl().as_secs()))
        });
        seen.ttl_s = minimum.unwrap_or(0);
    }
    Some(seen)
}

fn is_at(record: &ParsedRecord<'_, Vec<u8>>, name: &WireName) -> bool {
    record.class() == Class::IN && record.owner().name_eq(name)
}

fn value(record: &ParsedRecord<'_, Vec<u8>>, kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::A => {
            let address = record.to_record::<A>().ok()??.data().addr();
            Value::address(&address.octets(), address.to_string())
        }
        Kind::Aaaa => {
            let address = record.to_record::<Aaaa>().ok()??.data().addr();
            Value::address(&address.octets(), address.to_string())
        }
        Kind::Cname => {
            let record = record.to_record::<Cname<ParsedName<&[u8]>>>().ok()??;
            Value::name(&record.data().cname().to_vec())
        }
        Kind::Txt => {
            let record = record.to_record::<Txt<&[u8]>>().ok()??;
            Value::texts(record.data().iter())
        }
    })
}

impl Seen {
    /// Where it points.
    pub(super) fn at(&self, declared: &Declared) -> RouteAt {
        if let Some(alias) = &self.alias {
            return RouteAt::Other(format!("CNAME {alias}"));
        }
        if self.values.is_empty() {
            return RouteAt::Missing;
        }
        for side in [Side::Source, Side::Target] {
            if same(&self.values, declared.values(side)) {
                return RouteAt::Side(side);
            }
        }
        let mut texts: Vec<&str> = self.values.iter().map(|v| v.text.as_str()).collect();
        texts.sort_unstable();
        RouteAt::Other(format!("{} {}", declared.kind, texts.join(", ")))
    }

    /// Whether it is what setting it to a side makes.
    pub(super) fn is(&self, declared: &Declared, side: Side) -> bool {
        self.alias.is_none() && self.ttl_s == declared.ttl_s && same(&self.values, declared.values(side))
    }

    /// Whether nothing is different.
    pub(super) fn same(&self, before: &Self) -> bool {
        self.alias == before.alias && self.ttl_s == before.ttl_s && same(&self.values, &before.values)
    }

    /// What is to be said of it before anything runs; `by_hand` sets it to where it is.
    pub(super) fn findings(&self, declared: &Declared, by_hand: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let name = declared.shown();
        if self.ttl_s > declared.ttl_s && !self.values.is_empty() {
            let summary = format!(
                "{name} has a TTL of {} s and not of {} s: clients keep the old answer that long after the switch",
                self.ttl_s, declared.ttl_s
            );
            let after = format!("and switch {} s later at the earliest", self.ttl_s);
            let remedy = match by_hand {
                "" => format!("lower its TTL to {} s now, {after}", declared.ttl_s),
                line => format!("lower its TTL now, {after}: {line}"),
            };
            findings.push(finding(Severity::Warning, summary, Some(remedy)));
        }
        if let RouteAt::Other(what) = self.at(declared)
            && self.alias.is_none()
            && !declared.replace_others
        {
            let summary = format!("{name} is {what}, which is neither side's: it will not be replaced");
            let remedy =
                "set it to one of the two, write what it is into the route, or replace_others = true";
            findings.push(finding(Severity::Warning, summary, Some(remedy.to_owned())));
        }
        findings
    }
}

/// The types of the other records at the name.
pub(super) fn others(server: &Server, declared: &Declared) -> Result<Vec<Rtype>, StepError> {
    let all = server.ask_for_much(message::query(&declared.name, Rtype::ANY)).map_err(|e| e.of_query())?;
    let whole = all.header().rcode() == Rcode::NOERROR && all.header().aa();
    let found = types(&all, declared);
    if whole && !found.is_empty() && !found.contains(&Rtype::HINFO) || all.header().rcode() == Rcode::NXDOMAIN
    {
        return Ok(found.into_iter().filter(|t| *t != declared.kind.rtype()).collect());
    }
    let mut found = Vec::new();
    for rtype in ASKED.into_iter().filter(|t| *t != declared.kind.rtype()) {
        let answer = server.ask(message::query(&declared.name, rtype)).map_err(|e| e.of_query())?;
        found.extend(types(&answer, declared).into_iter().filter(|t| *t == rtype));
    }
    Ok(found)
}

fn types(answer: &Message<Vec<u8>>, declared: &Declared) -> Vec<Rtype> {
    let mut found: Vec<Rtype> = Vec::new();
    for record in answer.answer().into_iter().flatten().flatten() {
        let rtype = record.rtype();
        if is_at(&record, &declared.name) && !SIGNATURES.contains(&rtype) && !found.contains(&rtype) {
            found.push(rtype);
        }
    }
    found
}

/// What is to be said of other records at the name: they are left alone.
pub(super) fn others_findings(declared: &Declared, others: &[Rtype]) -> Vec<Finding> {
    let name = declared.name_text();
    let mut findings = Vec::new();
    let clash = declared.kind == Kind::Cname || others.contains(&Rtype::CNAME);
    let listed = others.iter().map(|rtype| format!("{rtype}")).collect::<Vec<_>>().join(", ");
    if clash && !others.is_empty() {
        let summary = format!(
            "{name} also has {listed}: a CNAME and other records cannot have one name, so the server would not do the update"
        );
        let remedy = format!("take the {listed} away, or switch that record by a route of its own");
        findings.push(finding(Severity::Critical, summary, Some(remedy)));
        return findings;
    }
    let address = |other: Rtype, kind: Kind| others.contains(&other) && declared.kind == kind;
    if address(Rtype::AAAA, Kind::A) || address(Rtype::A, Kind::Aaaa) {
        let other = if declared.kind == Kind::A { "AAAA" } else { "A" };
        let summary =
            format!("{name} also has {other} records: clients that take those do not follow this route");
        let remedy = format!("add a route of type {other} for the same name, or take those records away");
        findings.push(finding(Severity::Warning, summary, Some(remedy)));
    }
    let rest: Vec<String> = others
        .iter()
        .filter(|t| !matches!(**t, Rtype::A | Rtype::AAAA | Rtype::SOA))
        .map(|rtype| format!("{rtype}"))
        .collect();
    if !rest.is_empty() {
        let summary = format!("{name} also has {}: left alone", rest.join(", "));
        findings.push(finding(Severity::Info, summary, Some("nothing is to be done".to_owned())));
    }
    findings
}
