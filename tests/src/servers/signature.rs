//! Checks AWS Signature Version 4 as a service does, written from its description and not from Segue's signer:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. The vectors in
//! `signature_v4.json` were made with botocore 1.44.5, the vendor's own.

use sha2::{Digest, Sha256};

use super::client::escape;

/// How far a signature's time may be from the service's, in seconds.
const SKEW_S: i64 = 300;

/// Whose signatures are good.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `AKIDEXAMPLE`.
    pub access: String,
    /// The secret.
    pub secret: String,
    /// The session's token, where the keys are temporary.
    pub token: Option<String>,
    /// `us-east-1`.
    pub region: String,
    /// `es` or `aoss`.
    pub service: String,
}

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `GET`.
    pub method: &'a str,
    /// Path and query, as they were sent.
    pub target: &'a str,
    /// The headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl Signed<'_> {
    /// The values of a header, joined as the canonical form has them.
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<String> = self
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// Why a request is refused; `None`: it is signed as it should be. `now_s`: seconds since 1970.
pub fn refusal(keys: &Keys, request: &Signed<'_>, now_s: i64) -> Option<String> {
    check(keys, request, now_s).err()
}

fn check(keys: &Keys, request: &Signed<'_>, now_s: i64) -> Result<(), String> {
    let authorization = request.header("authorization").ok_or("there is no header authorization")?;
    let parts = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("the authorization is not of AWS4-HMAC-SHA256")?;
    let part = |name: &str| {
        let found = parts.split(',').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or(format!("the authorization names no {name}"))
    };
    let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let time = request.header("x-amz-date").ok_or("there is no header x-amz-date")?;
    let then_s = seconds(&time).ok_or(format!("x-amz-date {time} is no time"))?;
    if (now_s - then_s).abs() > SKEW_S {
        return Err(format!("x-amz-date {time} is {} s away from now", (now_s - then_s).abs()));
    }
    let scope = format!("{}/{}/{}/aws4_request", &time[..8], keys.region, keys.service);
    if credential != format!("{}/{scope}", keys.access) {
        return Err(format!("the credential {credential} is not {}/{scope}", keys.access));
    }
    if request.header("x-amz-security-token") != keys.token {
        return Err("the security token is not the session's".to_owned());
    }
    let body_hash = hex(&Sha256::digest(request.body));
    match request.header("x-amz-content-sha256") {
        Some(said) if said != body_hash => return Err("x-amz-content-sha256 is not the body's".to_owned()),
        None if keys.service == "aoss" => return Err("aoss wants x-amz-content-sha256".to_owned()),
        _ => {}
    }
    let canonical = canonical(request, names, &body_hash)?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for word in scope.split('/') {
        key = hmac(&key, word.as_bytes()).to_vec();
    }
    let wanted = hex(&hmac(&key, to_sign.as_bytes()));
    if wanted == signature {
        return Ok(());
    }
    Err(format!("the signature does not match; the canonical request is\n{canonical}"))
}

/// The canonical request.
fn canonical(request: &Signed<'_>, names: &str, body_hash: &str) -> Result<String, String> {
    let signed: Vec<&str> = names.split(';').collect();
    if !signed.is_sorted() {
        return Err(format!("the signed headers {names} are not sorted"));
    }
    let must = |name: &str| name == "host" || name.starts_with("x-amz-");
    if let Some((name, _)) = request.headers.iter().find(|(n, _)| must(n) && !signed.contains(&n.as_str())) {
        return Err(format!("the header {name} is not signed"));
    }
    let mut headers = String::new();
    for name in &signed {
        let value = request.header(name).ok_or(format!("the signed header {name} is not there"))?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    if !signed.contains(&"host") {
        return Err("the header host is not signed".to_owned());
    }
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    // What came over the wire is escaped already: every service but S3 escapes it again.
    let path: Vec<String> = path.split('/').map(escape).collect();
    let mut query: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{body_hash}",
        request.method,
        path.join("/"),
        query.join("&")
    ))
}

/// A part of a query as the canonical form has it: unescaped, and escaped by the strict rule.
fn plain(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let two = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match two.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    escape(&String::from_utf8_lossy(&bytes))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The seconds since 1970 of `20260102T030405Z`.
fn seconds(time: &str) -> Option<i64> {
    let shaped = time.is_ascii() && time.len() == 16 && &time[8..9] == "T" && time.ends_with('Z');
    if !shaped {
        return None;
    }
    let number = |from: usize, to: usize| time[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Days from civil: years that begin in March have the leap day at their end.
    let year = if month > 2 { year } else { year - 1 };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    const TO_1970: i64 = 719_468;
    Some((days - TO_1970) * 86_400 + number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Keys, Signed, refusal, seconds};

    const NOW_S: i64 = 1_767_323_045;

    type Change = fn(&mut Vector);

    struct Vector {
        keys: Keys,
        method: String,
        target: String,
        headers: Vec<(String, String)>,
        body: String,
        name: String,
    }

    fn vectors() -> Vec<Vector> {
        let read: Value = serde_json::from_str(include_str!("signature_v4.json")).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let one = |v: &Value| {
            let url = text(&v["url"]);
            let (host, path) = url.trim_start_matches("https://").split_once('/').expect("a path");
            let mut headers: Vec<(String, String)> = v["headers"]
                .as_object()
                .expect("headers")
                .iter()
                .map(|(name, value)| (name.to_lowercase(), text(value)))
                .collect();
            headers.push(("host".to_owned(), host.to_owned()));
            let token = headers.iter().find(|(n, _)| n == "x-amz-security-token").map(|(_, v)| v.clone());
            Vector {
                keys: Keys {
                    access: "AKIDEXAMPLE".to_owned(),
                    secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                    token,
                    region: text(&v["region"]),
                    service: text(&v["service"]),
                },
                method: text(&v["method"]),
                target: format!("/{path}"),
                headers,
                body: text(&v["body"]),
                name: text(&v["name"]),
            }
        };
        read.as_array().expect("a list").iter().map(one).collect()
    }

    fn judged(vector: &Vector) -> Option<String> {
        let Vector { keys, method, target, headers, body, .. } = vector;
        refusal(keys, &Signed { method, target, headers, body: body.as_bytes() }, NOW_S)
    }

    #[test]
    fn a_time_is_counted_from_1970() {
        assert_eq!(seconds("20260102T030405Z"), Some(NOW_S));
        assert_eq!(seconds("19700101T000000Z"), Some(0));
        assert_eq!(seconds("20240229T235959Z"), Some(1_709_251_199));
        assert_eq!(seconds("2026-01-02"), None);
    }

    #[test]
    fn what_the_vendor_signs_is_good() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 6);
        for vector in vectors {
            assert_eq!(judged(&vector), None, "{}", vector.name);
        }
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let changes: [(&str, Change); 8] = [
            ("does not match", |v| v.method = "PATCH".to_owned()),
            ("does not match", |v| v.target = v.target.replacen('/', "/x", 1)),
            ("does not match", |v| v.target.push_str(if v.target.contains('?') { "&z" } else { "?z" })),
            ("", |v| v.body.push(' ')),
            ("does not match", |v| v.keys.secret.push('x')),
            ("the credential", |v| v.keys.region = "eu-west-1".to_owned()),
            ("the security token", |v| v.keys.token = Some("another".to_owned())),
            ("the header x-amz-target is not signed", |v| {
                v.headers.push(("x-amz-target".to_owned(), "x".to_owned()));
            }),
        ];
        for (why, change) in changes {
            for mut vector in vectors() {
                change(&mut vector);
                let refused = judged(&vector).unwrap_or_default();
                assert!(!refused.is_empty() && refused.contains(why), "{}: {why}: {refused}", vector.name);
            }
        }
        let Vector { keys, method, target, headers, body, .. } = &vectors()[0];
        let late = refusal(keys, &Signed { method, target, headers, body: body.as_bytes() }, NOW_S + 301);
        assert!(late.unwrap_or_default().contains("301 s away"));
    }
}
