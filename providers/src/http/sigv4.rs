//! AWS Signature Version 4 (the "Signature Version 4 signing process" of the AWS General Reference), as the data planes
//! of OpenSearch Service (`es`) and OpenSearch Serverless (`aoss`) want it: the path is encoded twice, and the body's
//! hash is always sent and signed.

use hmac::{Hmac, Mac};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use segue_contract::Secret;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

/// Further apart than this the service refuses every signature; it allows five minutes, less what a request takes.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(4 * 60);

/// Who signs, and for which service.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    /// The public half of the key, `AKIA…`.
    pub(crate) access_key_id: String,
    /// The secret half.
    pub(crate) secret_access_key: Secret,
    /// What comes with keys of a role; sent and signed.
    pub(crate) session_token: Option<Secret>,
    /// `eu-central-1`
    pub(crate) region: String,
    /// `es` or `aoss`.
    pub(crate) service: String,
}

/// What is signed of a request.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a Uri,
    /// The request's own headers; of these the content's type and what begins with `x-amz-` are signed.
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
}

impl Signer {
    /// The headers that a request carries to be believed at a time: each its name in lower case, and its value.
    pub(super) fn headers(&self, request: &Signed<'_>, at: Timestamp) -> Vec<(String, Secret)> {
        let mut added =
            vec![("x-amz-content-sha256", hex(&Sha256::digest(request.body))), ("x-amz-date", stamp(at))];
        if let Some(token) = &self.session_token {
            added.push(("x-amz-security-token", token.reveal().to_owned()));
        }
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            added.push(("host", host(request.uri)));
        }
        let mut signed: Vec<(String, String)> =
            added.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        for (name, value) in request.headers {
            let name = name.to_lowercase();
            if ["content-type", "host"].contains(&name.as_str()) || name.starts_with("x-amz-") {
                signed.push((name, value.clone()));
            }
        }
        let authorization = self.authorization(request, &mut signed, &stamp(at));
        added.push(("authorization", authorization));
        added.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect()
    }

    /// The header `Authorization` over exactly these headers, names in lower case.
    fn authorization(&self, request: &Signed<'_>, headers: &mut [(String, String)], stamp: &str) -> String {
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let canonical = canonical(request, headers, &names);
        let day = stamp.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.secret_access_key.reveal()).into_bytes();
        for part in [day, &self.region, &self.service, "aws4_request"] {
            key = keyed(&key, part.as_bytes());
        }
        let signature = hex(&keyed(&key, text.as_bytes()));
        let credential = format!("{}/{scope}", self.access_key_id);
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}")
    }
}

/// How far this clock is off the server's, in words, where that is why a signature is refused. `date` is the
/// reply's header.
pub(super) fn skew(date: Option<&str>, at: Timestamp) -> Option<String> {
    let theirs = jiff::fmt::rfc2822::parse(date?).ok()?.timestamp();
    let ahead = at.duration_since(theirs);
    if ahead.abs() <= SKEW_MAX {
        return None;
    }
    let way = if ahead.is_positive() { "ahead of" } else { "behind" };
    Some(format!("this machine's clock is {} s {way} the server's", ahead.abs().as_secs()))
}

fn canonical(request: &Signed<'_>, headers: &[(String, String)], names: &str) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.push_str(&format!("{name}:{value}\n"));
    }
    let path = encoded(&tidy(request.uri.path()), b"/");
    let query = query(request.uri.query().unwrap_or_default());
    let hash = hex(&Sha256::digest(request.body));
    format!("{}\n{path}\n{query}\n{lines}\n{names}\n{hash}", request.method)
}

/// The path without `.`, `..` and doubled slashes, as the service reads it.
fn tidy(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

/// The parameters by name and value, each encoded once however they were written.
fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded_bytes(&decoded(name), b""), encoded_bytes(&decoded(value), b""))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(meant) if byte == b'%' => {
                found.push(meant);
                at += 3;
            }
            _ => {
                found.push(byte);
                at += 1;
            }
        }
    }
    found
}

fn encoded(text: &str, kept: &[u8]) -> String {
    encoded_bytes(text.as_bytes(), kept)
}

/// RFC 3986 without exceptions: all but the unreserved is encoded, and what is in `kept`.
fn encoded_bytes(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What the header `Host` says: the port only where it is not the scheme's own.
fn host(uri: &Uri) -> String {
    let name = uri.host().unwrap_or_default();
    match (uri.port_u16(), uri.scheme_str()) {
        (None | Some(443), Some("https")) | (None | Some(80), Some("http")) | (None, _) => name.to_owned(),
        (Some(port), _) => format!("{name}:{port}"),
    }
}

fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    // The algorithm takes a key of any length; without one nothing is signed, and nothing is believed.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
