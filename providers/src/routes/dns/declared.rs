//! What a block says of its record: names, type, values, key.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::base::iana::Rtype;
use domain::base::name::Name;
use domain::tsig::{Algorithm, Key, KeyName};
use segue_contract::{BlockRef, Finding, Setting, Severity, Side, StepError, StepIo};

use super::{TIMEOUT_DEFAULT_MS, TTL_DEFAULT_MS, finding};

/// A name in its wire format.
pub(super) type WireName = Name<Vec<u8>>;

/// The longest string within a TXT record, in bytes (RFC 1035, 3.3).
const TEXT_MAX: usize = 255;
/// The most that a TXT record is given, in bytes: an update must fit into one message with the old value and the new.
const TEXTS_MAX: usize = 8192;
/// The longest TTL (RFC 2181, 8), in seconds.
const TTL_MAX_S: u64 = (1 << 31) - 1;

/// The types that a route can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Cname,
    Txt,
}

impl Kind {
    pub(super) fn rtype(self) -> Rtype {
        match self {
            Self::A => Rtype::A,
            Self::Aaaa => Rtype::AAAA,
            Self::Cname => Rtype::CNAME,
            Self::Txt => Rtype::TXT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        })
    }
}

/// One value of a record set.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The record's data in its wire format, names not compressed.
    pub(super) wire: Vec<u8>,
    /// What two values that mean the same have in common: names in lower case, texts joined.
    pub(super) meaning: Vec<u8>,
    /// As in a zone's file.
    pub(super) text: String,
}

/// What a block says.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) zone: WireName,
    pub(super) name: WireName,
    pub(super) kind: Kind,
    pub(super) ttl_s: u32,
    pub(super) timeout: Duration,
    pub(super) replace_others: bool,
    pub(super) key_name: Option<String>,
    source: Vec<Value>,
    target: Vec<Value>,
    /// The name as it was written, if that looks like a whole one without its dot.
    doubtful: Option<String>,
}

impl Declared {
    /// Reads a block.
    pub(super) fn read(route: &BlockRef) -> Result<Self, StepError> {
        let wrong = |what: String, remedy: &str| {
            StepError::permanent(format!("{}: {what}", route.address)).remedy(remedy)
        };
        let zone_text = route.text("zone")?;
        let zone = whole_name(zone_text).map_err(|why| {
            wrong(format!("zone {zone_text:?} is no name: {why}"), "write \"example.com.\"")
        })?;
        let name_text = route.text("name")?;
        let name = name_in(name_text, &zone).map_err(|why| {
            wrong(format!("name {name_text:?} is no name: {why}"), "write \"www\", or \"www.example.com.\"")
        })?;
        if !name.ends_with(&zone) {
            let what = format!("{name_text} does not lie in zone {zone_text}");
            return Err(wrong(what, "name the zone that the record lies in"));
        }
        let sides = [Side::Source, Side::Target].map(|side| route.words(side.as_str()));
        let [source, target] = sides;
        let (source, target) = (source?.unwrap_or_default(), target?.unwrap_or_default());
        let kind = kind_of(route, source.first().or(target.first()))?;
        let values = |texts: &[String], side: Side| {
            let values: Result<Vec<Value>, String> = texts.iter().map(|t| Value::read(kind, t)).collect();
            let values =
                values.map_err(|why| wrong(format!("{side}: {why}"), "write what the type wants"))?;
            match (values.len(), kind) {
                (0, _) => Err(wrong(format!("{side} has no value"), "write one, or several")),
                (2.., Kind::Cname) => {
                    Err(wrong(format!("{side}: a name has one CNAME at most"), "write one value"))
                }
                _ => Ok(values),
            }
        };
        let ttl_ms = route.number("ttl")?.unwrap_or(TTL_DEFAULT_MS);
        let ttl_s = u32::try_from(ttl_ms.div_ceil(1000).min(TTL_MAX_S)).unwrap_or(u32::MAX);
        let doubtful = !name_text.ends_with('.') && whole_name(name_text).is_ok_and(|n| n.ends_with(&zone));
        Ok(Self {
            source: values(&source, Side::Source)?,
            target: values(&target, Side::Target)?,
            zone,
            name,
            kind,
            ttl_s,
            timeout: Duration::from_millis(route.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT_MS)),
            replace_others: route.flag("replace_others")?.unwrap_or(false),
            key_name: route.config.plain("key_name").and_then(|v| v.as_str()).map(str::to_owned),
            doubtful: doubtful.then(|| name_text.to_owned()),
        })
    }

    /// The values of a side.
    pub(super) fn values(&self, side: Side) -> &[Value] {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// `search.example.com.`
    pub(super) fn name_text(&self) -> String {
        with_dot(&self.name)
    }

    /// `example.com.`
    pub(super) fn zone_text(&self) -> String {
        with_dot(&self.zone)
    }

    /// `search.example.com. A`
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.name_text(), self.kind)
    }

    /// What is wrong, or doubtful, whatever the server says.
    pub(super) fn findings(&self, route: &BlockRef) -> Vec<Finding> {
        let mut findings = Vec::new();
        if same(&self.source, &self.target) {
            let summary = format!("source and target of {} are the same values", self.shown());
            let remedy = "the record must tell the sides apart".to_owned();
            findings.push(finding(Severity::Critical, summary, Some(remedy)));
        }
        if let Some(written) = &self.doubtful {
            let zone = self.zone_text();
            let below = written.strip_suffix(zone.trim_end_matches('.')).unwrap_or(written);
            let below = below.trim_end_matches('.');
            let remedy = format!(
                "write {:?}, or {:?} for the whole name",
                if below.is_empty() { "@" } else { below },
                format!("{written}.")
            );
            let summary = format!("name {written:?} is read as {}", self.name_text());
            findings.push(finding(Severity::Critical, summary, Some(remedy)));
        }
        let has_secret = matches!(route.config.get("key_secret"), Some(Setting::Secret(_)));
        if self.key_name.is_some() != has_secret {
            let summary = "only one of key_name and key_secret is there".to_owned();
            findings.push(finding(Severity::Critical, summary, Some("write both or none".to_owned())));
        } else if !has_secret {
            let summary = format!("updates of {} are not signed", self.shown());
            let remedy = "write key_name and key_secret: otherwise everybody at an address that the server trusts can move the route";
            findings.push(finding(Severity::Warning, summary, Some(remedy.to_owned())));
        }
        if let Some(name) = &self.key_name
            && KeyName::from_str(name).is_err()
        {
            let summary = format!("key_name {name:?} is no name");
            findings.push(finding(Severity::Critical, summary, None));
        }
        findings
    }

    /// The key that updates are signed with.
    pub(super) fn key(&self, route: &BlockRef, io: &dyn StepIo) -> Result<Option<Key>, StepError> {
        let (Some(name), Some(Setting::Secret(reference))) = (&self.key_name, route.config.get("key_secret"))
        else {
            return Ok(None);
        };
        // Causes are not shown: they could repeat the secret.
        let wrong = |what: &str| StepError::permanent(format!("{}: {what}", route.address));
        let secret = io.secret(reference)?;
        let bytes = STANDARD
            .decode(secret.reveal().trim())
            .map_err(|_| wrong("key_secret is not base64").remedy("copy it from the server's key file"))?;
        let algorithm = match route.config.plain("key_algorithm").and_then(|v| v.as_str()) {
            Some("hmac-sha512") => Algorithm::Sha512,
            _ => Algorithm::Sha256,
        };
        let name = KeyName::from_str(name).map_err(|_| wrong("key_name is no name"))?;
        Key::new(algorithm, &bytes, name, None, None).map(Some).map_err(|_| wrong("key_secret is no key"))
    }
}

impl Value {
    fn read(kind: Kind, text: &str) -> Result<Self, String> {
        match kind {
            Kind::A => {
                let address = Ipv4Addr::from_str(text).map_err(|_| format!("{text:?} is no IPv4 address"))?;
                Ok(Self::address(&address.octets(), address.to_string()))
            }
            Kind::Aaaa => {
                let address = Ipv6Addr::from_str(text).map_err(|_| format!("{text:?} is no IPv6 address"))?;
                Ok(Self::address(&address.octets(), address.to_string()))
            }
            Kind::Cname => {
                let name = whole_name(text).map_err(|why| format!("{text:?} is no name: {why}"))?;
                Ok(Self::name(&name))
            }
            Kind::Txt if text.len() > TEXTS_MAX => Err(format!("a text of {} bytes is too long", text.len())),
            Kind::Txt => Ok(Self::texts(text.as_bytes().chunks(TEXT_MAX))),
        }
    }

    pub(super) fn address(octets: &[u8], text: String) -> Self {
        Self { wire: octets.to_vec(), meaning: octets.to_vec(), text }
    }

    pub(super) fn name(name: &WireName) -> Self {
        let wire = name.as_slice().to_vec();
        // Lengths of labels are below 64, and no letters.
        Self { meaning: wire.to_ascii_lowercase(), wire, text: with_dot(name) }
    }

    pub(super) fn texts<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut wire, mut meaning, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for part in texts {
            wire.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            wire.extend_from_slice(part);
            meaning.extend_from_slice(part);
            text.push(quoted_text(part));
        }
        if wire.is_empty() {
            (wire, text) = (vec![0], vec!["\"\"".to_owned()]);
        }
        Self { wire, meaning, text: text.join(" ") }
    }
}

/// Whether two sets of values mean the same, in whatever order.
pub(super) fn same(one: &[Value], other: &[Value]) -> bool {
    let sorted = |values: &[Value]| {
        let mut found: Vec<Vec<u8>> = values.iter().map(|v| v.meaning.clone()).collect();
        found.sort();
        found.dedup();
        found
    };
    sorted(one) == sorted(other)
}

/// A text as in a zone's file (RFC 1035, 5.1).
fn quoted_text(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text.push('"');
    text
}

fn with_dot(name: &WireName) -> String {
    let text = name.to_string();
    if text.ends_with('.') { text } else { text + "." }
}

/// A whole name, with its last dot or without.
fn whole_name(text: &str) -> Result<WireName, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("it is empty, or has spaces".to_owned());
    }
    WireName::from_str(text).map_err(|e| e.to_string())
}

fn name_in(text: &str, zone: &WireName) -> Result<WireName, String> {
    match text {
        "@" => Ok(zone.clone()),
        whole if whole.ends_with('.') => whole_name(whole),
        below => whole_name(&format!("{below}.{}", with_dot(zone).trim_start_matches('.'))),
    }
}

fn kind_of(route: &BlockRef, first: Option<&String>) -> Result<Kind, StepError> {
    let written = route.config.plain("type").and_then(|v| v.as_str());
    Ok(match written {
        Some("A") => Kind::A,
        Some("AAAA") => Kind::Aaaa,
        Some("CNAME") => Kind::Cname,
        Some("TXT") => Kind::Txt,
        Some(other) => {
            return Err(StepError::permanent(format!("{}: no route is of type {other}", route.address)));
        }
        None => match first {
            Some(text) if Ipv4Addr::from_str(text).is_ok() => Kind::A,
            Some(text) if Ipv6Addr::from_str(text).is_ok() => Kind::Aaaa,
            _ => Kind::Cname,
        },
    })
}
