//! `quiesce "http"`: requests that stop, start and probe the writers, or make the endpoint refuse writes.

use segue_contract::{
    AttributeSchema, AttributeType, BarrierState, BlockKind, BlockRef, BlockSchema, ErrorClass, Finding,
    Quiesce, QuiesceCall, QuiesceKind, Setting, Severity, StepError, StepIo,
};
use serde_json::{Value, json};

use crate::command::quoted;
use crate::http::{self, HttpError, HttpErrorKind, Reply, Request, Statuses, beginning, check_url};

const CODE: &str = "QUIESCE_HTTP";
/// The three requests: the attribute's prefix, what is wanted of it.
const ACTIONS: [(&str, &str); 3] = [
    ("stop", "Stops the writers, or makes the endpoint refuse writes; answers when no write is on its way."),
    ("start", "Starts the writers, or makes the endpoint take writes."),
    ("probe", "Tries a write by the writers' own way. Must be refused while quiesced."),
];

pub(super) fn schema() -> BlockSchema {
    let text = |name: String, doc: &str| AttributeSchema::optional(&name, AttributeType::String, doc);
    let mut attributes = vec![
        AttributeSchema::optional(
            "acts_on",
            AttributeType::String,
            "Whether writers are stopped, or the endpoint's data is closed to them. Default writers.",
        )
        .allowed(&["writers", "data"])
        .default(json!("writers")),
    ];
    for (action, doc) in ACTIONS {
        attributes.extend([
            AttributeSchema::required(&format!("{action}_url"), AttributeType::String, doc),
            text(format!("{action}_method"), "Default POST.").default(json!("POST")),
            text(format!("{action}_body"), "What is sent along."),
        ]);
        if action != "probe" {
            let doc = "The statuses that mean done, codes and ranges. Default 200-299.";
            attributes.push(text(format!("{action}_expect"), doc).default(http::statuses_default()));
        }
    }
    attributes.extend([
        text(
            "ready_url".to_owned(),
            "Asked whether the side named in Segue-Side could be started, or made to take writes; starts nothing. Asked \
             before the pause and before the commit; without it a side that cannot be started is found after the commit.",
        ),
        text("ready_method".to_owned(), "Default GET.").default(json!("GET")),
        text("ready_body".to_owned(), "What is sent along."),
        text("ready_expect".to_owned(), "The statuses that mean yes. Default 200-299.")
            .default(http::statuses_default()),
        text("probe_accepted".to_owned(), "The statuses of a write that got through. Default 200-299.")
            .default(http::statuses_default()),
        text(
            "probe_refused".to_owned(),
            "The statuses of a write that was refused; any other proves nothing. Default 400-499, 503.",
        )
        .default(json!("400-499, 503")),
    ]);
    attributes.extend(http::attributes());
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "http".to_owned(),
        doc: "Stops and starts the writers by HTTP requests, or closes and opens the endpoint's data. Every request may be \
              sent again: stopping what is stopped succeeds. Each carries Segue-Side (source or target) and \
              Segue-Endpoint as headers. Stopped writers must stay stopped over a reboot."
            .to_owned(),
        attributes,
    }
}

fn statuses(block: &BlockRef, name: &str, default: &str) -> Result<Statuses, StepError> {
    let text = block.config.plain(name).and_then(Value::as_str).unwrap_or(default);
    Statuses::parse(text).map_err(|why| StepError::permanent(format!("{}: {name}: {why}", block.address)))
}

fn request(block: &BlockRef, action: &str) -> Result<Request, StepError> {
    let optional = |name: &str| block.config.plain(&format!("{action}_{name}")).and_then(Value::as_str);
    let request = Request::new(
        optional("method").unwrap_or(if action == "ready" { "GET" } else { "POST" }),
        block.text(&format!("{action}_url"))?,
    );
    Ok(match optional("body") {
        Some(body) => request.body(body),
        None => request,
    })
}

fn send(call: &QuiesceCall, action: &str, io: &dyn StepIo) -> Result<Result<Reply, HttpError>, StepError> {
    let (client, headers) = http::client(&call.block, io)?;
    let mut request = request(&call.block, action)?;
    request.headers = headers;
    request = request
        .header("Segue-Side", call.side.as_str())
        .header("Segue-Endpoint", call.endpoint.address.as_str());
    Ok(client.send(&request))
}

/// Sends a request that has to succeed.
fn must(call: &QuiesceCall, action: &str, io: &dyn StepIo) -> Result<(), StepError> {
    let wanted = statuses(&call.block, &format!("{action}_expect"), "200-299")?;
    let reply = send(call, action, io)?.map_err(|error| {
        let mut error = error.step();
        error.what = format!("{}: {action}: {}", call.block.address, error.what);
        error
    })?;
    if wanted.contain(reply.status) {
        return Ok(());
    }
    let asked = request(&call.block, action)?.shown();
    let said = beginning(&reply.text());
    Err(StepError::permanent(format!(
        "{}: {action}: {asked} answered HTTP {}, not {wanted}, and said {said}",
        call.block.address, reply.status
    ))
    .remedy("see the server's log for the reason, or correct the request in the block"))
}

pub(super) struct HttpQuiesce;

impl Quiesce for HttpQuiesce {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn kind_of(&self, block: &BlockRef) -> QuiesceKind {
        match block.text("acts_on") {
            Ok("data") => QuiesceKind::Data,
            _ => QuiesceKind::Writers,
        }
    }

    fn check(&self, call: &QuiesceCall) -> Vec<Finding> {
        let block = &call.block;
        let mut findings = http::check(CODE, block);
        for (action, _) in ACTIONS {
            let name = format!("{action}_url");
            findings.extend(check_url(CODE, &name, block.text(&name).unwrap_or_default()));
        }
        if let Some(url) = block.config.plain("ready_url").and_then(Value::as_str) {
            findings.extend(check_url(CODE, "ready_url", url));
        }
        for name in ["stop_expect", "start_expect", "ready_expect", "probe_accepted", "probe_refused"] {
            if let Err(error) = statuses(block, name, "200-299") {
                findings.push(Finding {
                    severity: Severity::Critical,
                    code: CODE.to_owned(),
                    summary: error.to_string(),
                    remedy: "correct the block".to_owned(),
                });
            }
        }
        findings
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        must(call, "stop", io)
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        // A start that is refused now may succeed in a moment: whoever re-opens a side tries again.
        must(call, "start", io).map_err(|mut error| {
            if error.class == ErrorClass::Permanent {
                error.class = ErrorClass::Transient;
            }
            error
        })
    }

    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        let accepted = statuses(&call.block, "probe_accepted", "200-299")?;
        let refused = statuses(&call.block, "probe_refused", "400-499, 503")?;
        let reply = match send(call, "probe", io)? {
            Ok(reply) => reply,
            Err(error) => {
                // Writers that do not listen are stopped; an endpoint that does not listen has refused nothing.
                let stopped =
                    error.kind == HttpErrorKind::Refused && self.kind_of(&call.block) == QuiesceKind::Writers;
                let said = format!("the probe got no answer: {error}");
                return Ok(if stopped { BarrierState::Closed(said) } else { BarrierState::Unknown(said) });
            }
        };
        let status = reply.status;
        Ok(if accepted.contain(status) {
            BarrierState::Open
        } else if refused.contain(status) {
            BarrierState::Closed(format!("the probe was refused (HTTP {status})"))
        } else {
            BarrierState::Unknown(format!(
                "the probe was answered by HTTP {status}, neither accepted ({accepted}) nor refused ({refused}): {}",
                beginning(&reply.text())
            ))
        })
    }

    fn openable(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        if call.block.config.plain("ready_url").is_none() {
            return Ok(None);
        }
        must(call, "ready", io)?;
        Ok(Some(format!("{} says that it is ready", call.block.address)))
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        by_hand(call).unwrap_or_else(|error| format!("# {error}"))
    }
}

/// The start request as curl sends it; secrets stay names that the person fills in.
fn by_hand(call: &QuiesceCall) -> Result<String, StepError> {
    let block = &call.block;
    let asked = request(block, "start")?;
    let mut argv = vec!["curl".to_owned(), "--fail-with-body".to_owned(), "-X".to_owned(), asked.method];
    let mut push = |flag: &str, value: String| argv.extend([flag.to_owned(), value]);
    let text = |name: &str| block.config.plain(name).and_then(Value::as_str);
    for (name, value) in http::headers(block)? {
        push("-H", format!("{name}: {value}"));
    }
    push("-H", format!("Segue-Side: {}", call.side));
    push("-H", format!("Segue-Endpoint: {}", call.endpoint.address));
    if let Some(username) = text("username") {
        push("-u", username.to_owned());
    }
    if block.config.get("bearer_token").is_some_and(|s| matches!(s, Setting::Secret(_))) {
        push("-H", "Authorization: Bearer TOKEN".to_owned());
    }
    if let Some(name) = text("secret_header") {
        push("-H", format!("{name}: SECRET"));
    }
    for (name, flag) in [("ca_file", "--cacert"), ("client_cert", "--cert"), ("client_key", "--key")] {
        if let Some(path) = text(name) {
            push(flag, path.to_owned());
        }
    }
    if let Some(body) = asked.body {
        push("--data-binary", String::from_utf8_lossy(&body).into_owned());
    }
    argv.push(asked.url);
    Ok(quoted(&argv))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

    use segue_contract::{SecretRef, Side};

    use super::*;
    use crate::http::stub::{Answer, Heard, SecretIo, Stub, nobody};
    use crate::testing::{Io, block};

    fn call(url: &str, more: &[(&str, Value)]) -> QuiesceCall {
        let mut settings: Vec<(&str, Value)> = vec![
            ("stop_url", json!(format!("{url}/stop"))),
            ("start_url", json!(format!("{url}/start"))),
            ("start_method", json!("PUT")),
            ("start_body", json!("{\"on\": true}")),
            ("probe_url", json!(format!("{url}/write"))),
        ];
        settings.extend(more.iter().cloned());
        QuiesceCall {
            block: block("cutover.a.quiesce.http", "http", &settings),
            endpoint: block("source.directory.old", "directory", &[]),
            side: Side::Source,
        }
    }

    /// An application that can be stopped and started.
    fn application() -> Stub {
        let stopped = AtomicBool::new(false);
        Stub::new(move |heard: &Heard| match (heard.method.as_str(), heard.path.as_str()) {
            ("POST", "/stop") => {
                stopped.store(true, Ordering::Relaxed);
                Answer::ok("")
            }
            ("PUT", "/start") if heard.body == "{\"on\": true}" => {
                stopped.store(false, Ordering::Relaxed);
                Answer::ok("")
            }
            ("POST", "/write") if stopped.load(Ordering::Relaxed) => Answer::status(503),
            ("POST", "/write") => Answer::status(201),
            _ => Answer::status(404),
        })
    }

    #[test]
    fn writers_are_stopped_and_started_and_the_probe_tells() {
        let server = application();
        let (call, io) = (call(&server.url, &[]), Io::default());
        assert_eq!(HttpQuiesce.check(&call), []);
        assert_eq!(HttpQuiesce.observe(&call, &io).expect("observes"), BarrierState::Open);
        HttpQuiesce.close(&call, &io).expect("closes");
        HttpQuiesce.close(&call, &io).expect("closes again");
        let closed = BarrierState::Closed("the probe was refused (HTTP 503)".to_owned());
        assert_eq!(HttpQuiesce.observe(&call, &io).expect("observes"), closed);
        HttpQuiesce.open(&call, &io).expect("opens");
        assert_eq!(HttpQuiesce.observe(&call, &io).expect("observes"), BarrierState::Open);
        let told = ["segue-side: source", "segue-endpoint: source.directory.old"].map(str::to_owned);
        assert!(server.heard().iter().all(|h| told.iter().all(|t| h.headers.contains(t))));
    }

    #[test]
    fn ready_is_asked_and_nothing_is_started() {
        let server = Stub::new(|heard: &Heard| match (heard.method.as_str(), heard.path.as_str()) {
            ("GET", "/ready") if heard.headers.contains(&"segue-side: source".to_owned()) => Answer::ok(""),
            _ => Answer(507, "", "no room".to_owned()),
        });
        let io = Io::default();
        let mute = call(&server.url, &[]);
        assert_eq!(HttpQuiesce.openable(&mute, &io).expect("cannot tell"), None);
        let ready = call(&server.url, &[("ready_url", json!(format!("{}/ready", server.url)))]);
        assert_eq!(HttpQuiesce.check(&ready), []);
        assert!(HttpQuiesce.openable(&ready, &io).expect("ready").is_some());
        let full = call(&server.url, &[("ready_url", json!(format!("{}/full", server.url)))]);
        let error = HttpQuiesce.openable(&full, &io).expect_err("not ready");
        assert!(error.to_string().contains("HTTP 507") && error.to_string().contains("no room"), "{error}");
    }

    #[test]
    fn the_kind_is_what_the_block_says() {
        let kind = |more: &[(&str, Value)]| HttpQuiesce.kind_of(&call("http://h", more).block);
        assert_eq!(kind(&[]), QuiesceKind::Writers);
        assert_eq!(kind(&[("acts_on", json!("data"))]), QuiesceKind::Data);
    }

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_proves_nothing() {
        let status = std::sync::Arc::new(AtomicU16::new(500));
        let answers = std::sync::Arc::clone(&status);
        let server = Stub::new(move |_| Answer::status(answers.load(Ordering::Relaxed)));
        let (call, io) = (call(&server.url, &[]), Io::default());
        for unsure in [0, 302, 500, 502] {
            status.store(unsure, Ordering::Relaxed);
            let seen = HttpQuiesce.observe(&call, &io).expect("observes");
            assert!(matches!(seen, BarrierState::Unknown(_)), "{unsure}: {seen:?}");
        }
    }

    #[test]
    fn nobody_listening_means_stopped_writers_and_proves_nothing_of_an_endpoint() {
        let io = Io::default();
        let writers = call(&nobody(), &[]);
        assert!(matches!(HttpQuiesce.observe(&writers, &io), Ok(BarrierState::Closed(_))));
        let data = call(&nobody(), &[("acts_on", json!("data"))]);
        assert!(matches!(HttpQuiesce.observe(&data, &io), Ok(BarrierState::Unknown(_))));
    }

    #[test]
    fn a_stop_that_is_refused_says_what_was_answered() {
        let server = Stub::new(|_| Answer(409, "", "a deploy is running".to_owned()));
        let call = call(&server.url, &[]);
        let error = HttpQuiesce.close(&call, &Io::default()).expect_err("refused");
        let wanted = format!(
            "cutover.a.quiesce.http: stop: POST {}/stop answered HTTP 409, not 200-299, and said \"a deploy is running\"",
            server.url
        );
        assert_eq!((error.class, error.to_string()), (ErrorClass::Permanent, wanted));
        let error = HttpQuiesce.open(&call, &Io::default()).expect_err("refused");
        assert_eq!(error.class, ErrorClass::Transient);
    }

    #[test]
    fn by_hand_is_a_line_for_a_shell_that_does_the_same_and_names_no_secret() {
        let server = application();
        let mut call = call(&server.url, &[("username", json!("segue"))]);
        call.block.config.insert("password", Setting::Secret(SecretRef::Env("S".into())));
        HttpQuiesce.close(&call, &SecretIo("hunter2")).expect("closes");
        let typed = HttpQuiesce.open_by_hand(&call);
        assert!(!typed.contains("hunter2") && typed.contains("-u segue"), "{typed}");
        let typed = typed.replace("-u segue", "-u segue:hunter2 -sS");
        let status = std::process::Command::new("sh").args(["-c", &typed]).status().expect("sh");
        assert!(status.success(), "{typed}");
        let seen = HttpQuiesce.observe(&call, &SecretIo("hunter2")).expect("observes");
        assert_eq!(seen, BarrierState::Open);
    }
}
