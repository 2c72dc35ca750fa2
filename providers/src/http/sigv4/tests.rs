//! Signatures that the vendor's own SDK made (botocore; method, address, headers and body as written here), and
//! requests as they leave.

use segue_contract::{SecretRef, Setting};
use serde_json::json;

use super::*;
use crate::http::stub::{Answer, SecretIo, Stub};
use crate::http::{HttpErrorKind, Request, check, client};
use crate::testing::block;

const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn signer(service: &str) -> Signer {
    Signer {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new(KEY),
        session_token: None,
        region: "us-east-1".to_owned(),
        service: service.to_owned(),
    }
}

fn at() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

/// What the SDK signed: its headers beside host and date, the canonical path and query, and the signature.
struct Vector {
    service: &'static str,
    method: &'static str,
    url: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    canonical: &'static str,
    signature: &'static str,
}

const VECTORS: [Vector; 5] = [
    Vector {
        service: "es",
        method: "GET",
        url: "https://search-d-abc.us-east-1.es.amazonaws.com/_cluster/health?level=indices&wait_for_status=green",
        headers: &[],
        body: "",
        canonical: "GET\n/_cluster/health\nlevel=indices&wait_for_status=green\nhost:search-d-abc.us-east-1.es.amazonaws.com\nx-amz-date:20260102T030405Z\n\nhost;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        signature: "4fa3b5d71c9cb368748b84786f96648927fa40dc475a12987a57a12306e3c2e1",
    },
    Vector {
        service: "es",
        method: "POST",
        url: "https://search-d-abc.us-east-1.es.amazonaws.com/my%20index*,-x/_bulk?refresh=false",
        headers: &[("content-type", "application/x-ndjson")],
        body: "{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n",
        canonical: "POST\n/my%2520index%2A%2C-x/_bulk\nrefresh=false\ncontent-type:application/x-ndjson\nhost:search-d-abc.us-east-1.es.amazonaws.com\nx-amz-date:20260102T030405Z\n\ncontent-type;host;x-amz-date\n673c883b5a39f13dae9abb83894f2ff4abb6ba45cedcee7b4cfd8754218399e3",
        signature: "1a839b85a429fc3ecc78c0565a205e86d743d6335d59e458f4cb65322924da4f",
    },
    Vector {
        service: "es",
        method: "POST",
        url: "https://search-d-abc.us-east-1.es.amazonaws.com/_aliases",
        headers: &[("content-type", "application/json"), ("x-amz-security-token", "TOKEN==")],
        body: "{}",
        canonical: "POST\n/_aliases\n\ncontent-type:application/json\nhost:search-d-abc.us-east-1.es.amazonaws.com\nx-amz-date:20260102T030405Z\nx-amz-security-token:TOKEN==\n\ncontent-type;host;x-amz-date;x-amz-security-token\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        signature: "ddacb372be2f2408a843addfc64db5bfc9ee7f37ba80129de6e616a5c40c6296",
    },
    Vector {
        service: "aoss",
        method: "GET",
        url: "https://abc123.us-east-1.aoss.amazonaws.com/_cat/indices?format=json",
        headers: &[("x-amz-content-sha256", EMPTY)],
        body: "",
        canonical: "GET\n/_cat/indices\nformat=json\nhost:abc123.us-east-1.aoss.amazonaws.com\nx-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nx-amz-date:20260102T030405Z\n\nhost;x-amz-content-sha256;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        signature: "bc43c3fea5e9fdbdcccba00200a0c5ab3d1665c58f0c5637745885134e6b2250",
    },
    Vector {
        service: "es",
        method: "GET",
        url: "https://es.us-east-1.amazonaws.com/2021-01-01/opensearch/domain/logs",
        headers: &[],
        body: "",
        canonical: "GET\n/2021-01-01/opensearch/domain/logs\n\nhost:es.us-east-1.amazonaws.com\nx-amz-date:20260102T030405Z\n\nhost;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        signature: "b23da9c203e39e159f02ee16564b2e915c206b6e7e61b8fe63e39b850dd9f8e3",
    },
];

#[test]
fn signatures_are_the_vendors() {
    for vector in VECTORS {
        let uri: Uri = vector.url.parse().expect("an address");
        let request = Signed { method: vector.method, uri: &uri, headers: &[], body: vector.body.as_bytes() };
        let mut headers =
            vec![("host".to_owned(), host(&uri)), ("x-amz-date".to_owned(), "20260102T030405Z".to_owned())];
        headers.extend(vector.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let signed = signer(vector.service).authorization(&request, &mut headers, "20260102T030405Z");
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(canonical(&request, &headers, &names.join(";")), vector.canonical);
        let (head, signature) = signed.rsplit_once("Signature=").expect("a signature");
        assert_eq!(signature, vector.signature, "{}", vector.url);
        let scope = format!("AKIDEXAMPLE/20260102/us-east-1/{}/aws4_request", vector.service);
        assert_eq!(head, format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={}, ", names.join(";")));
    }
}

#[test]
fn the_bodys_hash_is_always_sent_and_signed() {
    let uri: Uri =
        "https://abc123.us-east-1.aoss.amazonaws.com/_cat/indices?format=json".parse().expect("uri");
    let request = Signed { method: "GET", uri: &uri, headers: &[], body: b"" };
    let headers = signer("aoss").headers(&request, at());
    let find =
        |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.reveal().to_owned());
    assert_eq!(find("x-amz-content-sha256").as_deref(), Some(EMPTY));
    assert_eq!(find("x-amz-date").as_deref(), Some("20260102T030405Z"));
    assert_eq!(find("x-amz-security-token"), None);
    let signed = find("authorization").expect("signed");
    assert!(signed.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date"), "{signed}");
    assert!(
        signed.ends_with("bc43c3fea5e9fdbdcccba00200a0c5ab3d1665c58f0c5637745885134e6b2250"),
        "as the vendor signs it: {signed}"
    );
}

#[test]
fn paths_and_parameters_are_encoded_as_the_service_reads_them() {
    assert_eq!(["", "/", "/a//b/./c/../d/", "/.."].map(tidy), ["/", "/", "/a/b/d/", "/"]);
    assert_eq!(encoded("/a b%20~é*", b"/"), "/a%20b%2520~%C3%A9%2A");
    assert_eq!(query("b=2&a=%2f*&a=1&c&d=x%3Dy"), "a=%2F%2A&a=1&b=2&c=&d=x%3Dy");
    assert_eq!(query("q=a%zz+%4"), "q=a%25zz%2B%254", "what is no escape is a sign like others");
    let hosts = ["https://h:443/", "https://h:9200/", "http://h:80/", "http://h/", "http://[::1]:9200/"];
    let hosts = hosts.map(|url| host(&url.parse().expect("an address")));
    assert_eq!(hosts, ["h", "h:9200", "h", "h", "[::1]:9200"]);
}

/// A block that logs in by signature; its every secret is `hunter2`.
fn signing(extra: &[(&str, serde_json::Value)]) -> segue_contract::BlockRef {
    let mut settings = vec![
        ("aws_access_key_id", json!("AKIDEXAMPLE")),
        ("aws_region", json!("eu-central-1")),
        ("aws_service", json!("es")),
    ];
    settings.extend_from_slice(extra);
    let mut block = block("gate.http", "http", &settings);
    block.config.insert("aws_secret_access_key", Setting::Secret(SecretRef::Env("S".into())));
    block
}

#[test]
fn a_request_leaves_signed_and_its_host_is_the_one_that_was_signed() {
    let server = Stub::new(|_| Answer::ok("{}"));
    let mut block = signing(&[]);
    block.config.insert("aws_session_token", Setting::Secret(SecretRef::Env("T".into())));
    assert_eq!(check("CODE", &block), []);
    let (client, _) = client(&block, &SecretIo("hunter2")).expect("a client");
    assert!(!format!("{client:?}").contains("hunter2"));
    let request = Request::new("POST", &format!("{}/a%20b/_bulk?refresh=true", server.url))
        .header("Content-Type", "application/x-ndjson")
        .body("{}\n");
    client.send(&request).expect("answers");
    let heard = server.heard().remove(0);
    let header = |name: &str| {
        let found: Vec<String> = heard
            .headers
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
            .collect();
        assert_eq!(found.len(), 1, "{name}: {:?}", heard.headers);
        found.concat()
    };
    // The server makes the signature anew from what it heard.
    let uri: Uri = format!("http://{}{}", header("host"), heard.path).parse().expect("an address");
    let mut signer = signer("es");
    signer.secret_access_key = Secret::new("hunter2");
    signer.region = "eu-central-1".to_owned();
    let again = Signed { method: &heard.method, uri: &uri, headers: &[], body: heard.body.as_bytes() };
    let names = ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
    let mut headers: Vec<(String, String)> = names.iter().map(|&n| (n.to_owned(), header(n))).collect();
    let date = header("x-amz-date");
    assert_eq!(signer.authorization(&again, &mut headers, &date), header("authorization"));
    assert_eq!(header("x-amz-content-sha256"), hex(&Sha256::digest(b"{}\n")));
    let sent: Timestamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &date)
        .and_then(|at| at.to_zoned(TimeZone::UTC))
        .expect("a time")
        .timestamp();
    assert!(sent <= Timestamp::now(), "the clock is the system's");
}

#[test]
fn a_clock_that_is_off_is_told_where_the_signature_is_refused() {
    for (date, said) in [
        ("date: Fri, 02 Jan 2026 03:04:05 GMT\r\n", "s ahead of the server's"),
        ("date: Fri, 02 Jan 2224 03:04:05 GMT\r\n", "s behind the server's"),
    ] {
        let server = Stub::new(move |_| Answer(403, date, "{\"message\":\"Signature expired\"}".to_owned()));
        let (client, _) = client(&signing(&[]), &SecretIo("hunter2")).expect("a client");
        let error = client.send(&Request::new("GET", &server.url)).expect_err("refused");
        assert_eq!(error.kind, HttpErrorKind::Clock, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.step().class, segue_contract::ErrorClass::Permanent);
    }
    // Refused for another reason: an answer like others, whatever the clock.
    let server = Stub::new(|_| Answer(403, "", "{\"message\":\"no\"}".to_owned()));
    let (client, _) = client(&signing(&[]), &SecretIo("hunter2")).expect("a client");
    assert_eq!(client.send(&Request::new("GET", &server.url)).expect("answers").status, 403);
    assert_eq!(skew(Some("Fri, 02 Jan 2026 03:06:00 GMT"), at()), None);
    assert_eq!(skew(Some("yesterday"), at()), None);
}

#[test]
fn half_a_login_is_found_before_anything_is_asked() {
    let found = |block: &segue_contract::BlockRef| -> Vec<String> {
        check("CODE", block).into_iter().map(|finding| finding.summary).collect()
    };
    let half = block("gate.http", "http", &[("aws_access_key_id", json!("AKIDEXAMPLE"))]);
    let said = found(&half);
    assert!(said.iter().any(|s| s.contains("aws_secret_access_key")), "{said:?}");
    assert!(said.iter().any(|s| s.contains("aws_region")), "{said:?}");
    let two = signing(&[("username", json!("me")), ("redirects", json!(3))]);
    let said = found(&two);
    assert!(said.iter().any(|s| s.contains("more than one login")), "{said:?}");
    assert!(said.iter().any(|s| s.contains("redirect")), "{said:?}");
}
