//! The client against a server that answers, one that does not, and none.

use std::net::TcpListener;
use std::sync::mpsc;

use segue_contract::{ErrorClass, SecretRef, Setting};
use serde_json::json;

use super::stub::{Answer, SecretIo, Stub, nobody};
use super::*;
use crate::testing::block;

fn client_of(timeout_ms: u64) -> Client {
    Client::new(Settings::new(Duration::from_millis(timeout_ms)))
}

#[test]
fn a_request_arrives_as_it_was_written_and_its_answer_is_read() {
    let server = Stub::new(|_| Answer(201, "x-more: 1\r\n", "{\"a\": [1, 2]}".to_owned()));
    let request = Request::new("GET", &format!("{}/a/_search?size=1", server.url))
        .header("X-Trace", "7")
        .body(r#"{"query":1}"#);
    let reply = client_of(5000).send(&request).expect("answers");
    assert_eq!((reply.status, reply.json().expect("json")), (201, json!({"a": [1, 2]})));
    let heard = server.heard().remove(0);
    assert_eq!((heard.method.as_str(), heard.path.as_str()), ("GET", "/a/_search?size=1"));
    assert_eq!(heard.body, r#"{"query":1}"#, "a body goes along with every method");
    assert!(heard.headers.contains(&"x-trace: 7".to_owned()), "{heard:?}");
}

#[test]
fn an_error_status_is_an_answer_and_a_redirect_is_one_too() {
    let server = Stub::new(|heard| match heard.path.as_str() {
        "/moved" => Answer(302, "location: /there\r\n", String::new()),
        _ => Answer::status(503),
    });
    let ask = |path: &str| {
        let request = Request::new("GET", &format!("{}{path}", server.url));
        client_of(5000).send(&request).expect("answers").status
    };
    assert_eq!((ask("/"), ask("/moved")), (503, 302));
    assert_eq!(server.heard().len(), 2, "nothing was followed");
}

#[test]
fn errors_name_the_address_without_what_may_be_secret() {
    let url = nobody().replace("http://", "http://segue:hunter2@") + "/x?token=hunter2";
    let error = client_of(5000).send(&Request::new("GET", &url)).expect_err("nobody is there");
    assert_eq!(error.kind, HttpErrorKind::Refused);
    let step = error.step();
    let said = format!("{step} {:?} {step:?}", step.remedy);
    assert_eq!(step.class, ErrorClass::Transient);
    assert!(said.contains("GET http://127.0.0.1:") && said.contains("/x?…: nobody listens"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(shown("https://a:b@h:1/p?q#f"), "https://h:1/p?…");
    assert_eq!(shown("nonsense"), "nonsense");
}

#[test]
fn an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown() {
    // Connections are taken by the kernel, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let error = client_of(60).send(&Request::new("POST", &url)).expect_err("nobody answers");
    assert_eq!(error.kind, HttpErrorKind::Timeout);
    assert!(error.to_string().ends_with("no whole answer within 60 ms"), "{error}");
    assert_eq!(error.step().class, ErrorClass::Unknown);
}

#[test]
fn the_time_out_holds_for_the_body_too() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (done, until) = mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .expect("writes");
        let _ = until.recv();
    });
    let error = client_of(60).send(&Request::new("GET", &url)).expect_err("half an answer");
    assert_eq!(error.kind, HttpErrorKind::Timeout, "{error}");
    drop(done);
    server.join().expect("ends");
}

#[test]
fn a_broken_connection_leaves_the_outcome_unknown() {
    let server = Stub::new(|_| Answer::status(0));
    let error = client_of(5000).send(&Request::new("POST", &server.url)).expect_err("no answer");
    assert_eq!((error.kind, error.step().class), (HttpErrorKind::Broken, ErrorClass::Unknown));
}

#[test]
fn where_a_tls_connection_breaks_and_no_certificate_was_shown_it_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    // A server that wants a certificate may say why it goes, and be gone before that is read.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let error = client_of(60_000).send(&Request::new("GET", &url)).expect_err("no answer");
    assert_eq!(error.kind, HttpErrorKind::Broken, "{error}");
    assert!(error.step().remedy.is_some_and(|remedy| remedy.contains("client_cert")));
}

#[test]
fn more_than_the_limit_is_not_read() {
    let server = Stub::new(|_| Answer::ok(&"x".repeat(2000)));
    let mut settings = Settings::new(Duration::from_secs(5));
    settings.reply_bytes_max = 1999;
    let request = Request::new("GET", &server.url);
    let error = Client::new(settings.clone()).send(&request).expect_err("too much");
    assert_eq!(error.kind, HttpErrorKind::TooLarge);
    settings.reply_bytes_max = 2000;
    assert_eq!(Client::new(settings).send(&request).expect("fits").body.len(), 2000);
}

#[test]
fn logins_are_sent_and_are_in_no_error() {
    let server = Stub::new(|_| Answer::ok(""));
    let secret = |block: &mut segue_contract::BlockRef, name: &str| {
        block.config.insert(name, Setting::Secret(SecretRef::Env("S".into())));
    };
    let mut basic = block("gate.http", "http", &[("username", json!("segue"))]);
    secret(&mut basic, "password");
    let mut bearer = block("gate.http", "http", &[]);
    secret(&mut bearer, "bearer_token");
    let mut own = block("gate.http", "http", &[("secret_header", json!("X-Api-Key"))]);
    secret(&mut own, "secret_value");
    let mut key = block("gate.http", "http", &[]);
    secret(&mut key, "api_key");
    for block in [&basic, &bearer, &own, &key] {
        assert_eq!(check("CODE", block), []);
        let (client, _) = client(block, &SecretIo("hunter2")).expect("a client");
        client.send(&Request::new("GET", &server.url)).expect("answers");
        assert!(!format!("{client:?}").contains("hunter2"));
    }
    let sent: Vec<String> = server
        .heard()
        .into_iter()
        .flat_map(|h| h.headers)
        .filter(|h| h.starts_with("authorization") || h.starts_with("x-api"))
        .collect();
    let wanted = [
        "authorization: Basic c2VndWU6aHVudGVyMg==",
        "authorization: Bearer hunter2",
        "x-api-key: hunter2",
        "authorization: ApiKey hunter2",
    ];
    assert_eq!(sent, wanted);
    let (client, _) = client(&bearer, &SecretIo("hunter2\n")).expect("a client");
    let error = client.send(&Request::new("GET", &server.url)).expect_err("not sendable");
    assert_eq!(error.kind, HttpErrorKind::Invalid);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn mistakes_in_a_block_are_found_before_anything_is_asked() {
    let block = block(
        "gate.http",
        "http",
        &[
            ("username", json!("segue")),
            ("bearer_token", json!("x")),
            ("headers", json!(["fine: 1", "nothing"])),
            ("ca_file", json!("/no/such.pem")),
        ],
    );
    let found: Vec<String> = check("CODE", &block).into_iter().map(|f| f.summary).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("only one of username and password"), "{found:?}");
    assert!(found[1].contains("more than one login"), "{found:?}");
    assert!(found[2].contains("\"nothing\" is no header"), "{found:?}");
    assert!(found[3].contains("/no/such.pem"), "{found:?}");
    assert!(check_url("CODE", "url", "https://h:9200/x").is_none());
    for wrong in ["h/x", "ftp://h/", "http://", "https://me:pw@h/"] {
        let finding = check_url("CODE", "url", wrong).expect("wrong");
        assert!(!finding.summary.contains("pw"), "{finding:?}");
    }
}

/// Certificates by `openssl`, a server by `openssl s_server`: TLS that this package did not make itself.
mod tls {
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::testing::{Io, block_in};

    fn openssl(dir: &Path, args: &str) {
        let mut command = Command::new("openssl");
        command.args(args.split(' ')).current_dir(dir).stderr(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("openssl is installed").success(), "openssl {args}");
    }

    fn make(dir: &Path) {
        let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        openssl(dir, &format!("req -x509 {ec} -keyout ca.key -out ca.pem -subj /CN=ca"));
        for name in ["server", "client"] {
            openssl(
                dir,
                &format!("req {ec} -keyout {name}.key -out {name}.csr -subj /CN=localhost")
                    .replace(" -days 2", ""),
            );
            std::io::Write::write_all(
                &mut std::fs::File::create_new(dir.join(format!("{name}.ext"))).expect("file"),
                b"subjectAltName=DNS:localhost\n",
            )
            .expect("written");
            openssl(
                dir,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
                ),
            );
        }
    }

    struct Server(Child, u16);
    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A TLS server that wants the client's certificate and answers every GET.
    fn server(dir: &Path) -> Server {
        let mut child = Command::new("openssl")
            .args("s_server -accept 0 -www -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error".split(' '))
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse().ok());
        Server(child, port.expect("says its port"))
    }

    #[test]
    fn a_private_authority_and_a_client_certificate_are_used() {
        let dir = tempfile::tempdir().expect("tempdir");
        make(dir.path());
        let server = server(dir.path());
        let at = |name: &str| json!(dir.path().join(name));
        let full =
            [("ca_file", at("ca.pem")), ("client_cert", at("client.pem")), ("client_key", at("client.key"))];
        let ask = |settings: &[(&str, serde_json::Value)]| {
            let block = block_in(dir.path(), "gate.http", "http", settings);
            assert_eq!(check("CODE", &block), []);
            let (client, _) = client(&block, &Io::default()).expect("a client");
            client.send(&Request::new("GET", &format!("https://localhost:{}/", server.1)))
        };
        let error = ask(&[]).expect_err("the authority is not known");
        assert_eq!(error.kind, HttpErrorKind::Tls, "{error}");
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        let error = ask(&full[..1]).expect_err("the client's certificate is wanted");
        assert_eq!(error.kind, HttpErrorKind::Tls, "{error}");
        assert_eq!(ask(&full).expect("answers").status, 200);
    }
}
