//! `watch "compare"`: the same request to both sides has the same answer.

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Probe, Reading, StepError,
    StepIo,
};
use serde_json::{Value, json};

use super::{CODE, critical};
use crate::http::{
    self, Client, HttpErrorKind, Reply, Request, Statuses, beginning, check_url, statuses_default,
};

pub(super) fn schema() -> BlockSchema {
    let mut attributes = vec![
        AttributeSchema::required("source", AttributeType::String, "The source's address."),
        AttributeSchema::required("target", AttributeType::String, "The target's address."),
        AttributeSchema::optional(
            "paths",
            AttributeType::Words,
            "What is asked, each put after both addresses: \"/products/_count\". Default: the addresses alone.",
        ),
        AttributeSchema::optional("method", AttributeType::String, "Default GET.").default(json!("GET")),
        AttributeSchema::optional("body", AttributeType::String, "What is sent along."),
        AttributeSchema::optional(
            "expect_status",
            AttributeType::String,
            "The statuses that are well, besides being alike. Default 200-299.",
        )
        .default(statuses_default()),
        AttributeSchema::optional(
            "ignore",
            AttributeType::Words,
            "JSON pointers (RFC 6901) to what may differ; * is any one key or index: \"/took\", \"/hits/*/score\".",
        ),
    ];
    attributes.extend(http::attributes());
    BlockSchema {
        kind: BlockKind::Watch,
        name: "compare".to_owned(),
        doc: "Asks both sides the same and compares status and body; JSON whatever the order of its keys. What differs \
              first is shown."
            .to_owned(),
        attributes,
    }
}

pub(super) struct CompareProbe;

fn sides(block: &BlockRef) -> Result<[(&'static str, &str); 2], StepError> {
    Ok([("source", block.text("source")?), ("target", block.text("target")?)])
}

impl Probe for CompareProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let mut findings = http::check(CODE, block);
        for name in ["source", "target"] {
            findings.extend(check_url(CODE, name, block.text(name).unwrap_or_default()));
        }
        if let Err(why) = Statuses::parse(block.text("expect_status").unwrap_or("200-299")) {
            findings.push(critical(format!("expect_status: {why}"), "correct the block"));
        }
        for pointer in block.words("ignore").ok().flatten().unwrap_or_default() {
            if !pointer.starts_with('/') {
                findings.push(critical(
                    format!("ignore: {pointer:?} is no JSON pointer"),
                    "write it with its slash, \"/took\"",
                ));
            }
        }
        findings
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let (client, headers) = http::client(block, io)?;
        let paths = block.words("paths")?.filter(|p| !p.is_empty()).unwrap_or_else(|| vec![String::new()]);
        let ignore = block.words("ignore")?.unwrap_or_default();
        let statuses = Statuses::parse(block.text("expect_status").unwrap_or("200-299"))
            .map_err(|why| StepError::permanent(format!("{}: expect_status: {why}", block.address)))?;
        for path in &paths {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let no = |said: String| Ok(Reading { ok: false, said, value: None });
            let mut replies = Vec::new();
            for (side, base) in sides(block)? {
                match ask(&client, block, &headers, &joined(base, path)) {
                    Ok(reply) => replies.push(reply),
                    Err(error) if error.kind == HttpErrorKind::Invalid => return Err(error.step()),
                    Err(error) => return no(format!("the {side}: {error}")),
                }
            }
            let [source, target] = replies.as_slice() else {
                continue;
            };
            if let Some(why) = differs(source, target, &statuses, &ignore) {
                return no(if path.is_empty() { why } else { format!("{}: {why}", http::shown(path)) });
            }
        }
        let said = match paths.len() {
            1 => "both answers are alike".to_owned(),
            n => format!("the answers to {n} requests are alike"),
        };
        Ok(Reading { ok: true, said, value: None })
    }
}

/// An address and what comes after it, with one slash between.
fn joined(base: &str, path: &str) -> String {
    match path.strip_prefix('/') {
        Some(rest) => format!("{}/{rest}", base.trim_end_matches('/')),
        None => format!("{base}{path}"),
    }
}

fn ask(
    client: &Client,
    block: &BlockRef,
    headers: &[(String, String)],
    url: &str,
) -> Result<Reply, http::HttpError> {
    let mut request = Request::new(block.text("method").unwrap_or("GET"), url);
    request.headers = headers.to_vec();
    if let Some(body) = block.config.plain("body").and_then(Value::as_str) {
        request = request.body(body);
    }
    client.send(&request)
}

/// What differs first.
fn differs(source: &Reply, target: &Reply, statuses: &Statuses, ignore: &[String]) -> Option<String> {
    if source.status != target.status {
        return Some(format!("HTTP {} from the source, {} from the target", source.status, target.status));
    }
    if !statuses.contain(source.status) {
        return Some(format!("both answer HTTP {}, not {statuses}", source.status));
    }
    if source.body == target.body {
        return None;
    }
    match (source.json(), target.json()) {
        (Ok(mut a), Ok(mut b)) => {
            for pointer in ignore {
                let words: Vec<&str> = pointer.split('/').skip(1).collect();
                remove(&mut a, &words);
                remove(&mut b, &words);
            }
            first_difference(&a, &b, "")
        }
        (Ok(_), Err(_)) => Some("the source answers JSON, the target does not".to_owned()),
        (Err(_), Ok(_)) => Some("the target answers JSON, the source does not".to_owned()),
        (Err(_), Err(_)) => {
            let (a, b) = (source.text(), target.text());
            let line = a.lines().zip(b.lines()).position(|(a, b)| a != b);
            let line = line.unwrap_or_else(|| a.lines().count().min(b.lines().count()));
            let at = |text: &str| beginning(text.lines().nth(line).unwrap_or_default());
            Some(format!("line {}: {} from the source, {} from the target", line + 1, at(&a), at(&b)))
        }
    }
}

/// Takes out what a pointer names; `*` is any key or index.
fn remove(value: &mut Value, words: &[&str]) {
    let Some((first, rest)) = words.split_first() else {
        return;
    };
    let key = first.replace("~1", "/").replace("~0", "~");
    match value {
        Value::Object(map) if *first == "*" && rest.is_empty() => map.clear(),
        Value::Object(map) if *first == "*" => map.values_mut().for_each(|v| remove(v, rest)),
        Value::Object(map) if rest.is_empty() => drop(map.remove(&key)),
        Value::Object(map) => {
            if let Some(inner) = map.get_mut(&key) {
                remove(inner, rest);
            }
        }
        // An item that is taken out leaves its place: the others keep their indices.
        Value::Array(list) => {
            let index: Option<usize> = key.parse().ok();
            for (at, item) in list.iter_mut().enumerate() {
                if *first == "*" || index == Some(at) {
                    if rest.is_empty() {
                        *item = Value::Null;
                    } else {
                        remove(item, rest);
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn first_difference(a: &Value, b: &Value, at: &str) -> Option<String> {
    let place = if at.is_empty() { "the whole" } else { at };
    let differ = || {
        let (a, b) = (beginning(&a.to_string()), beginning(&b.to_string()));
        Some(format!("{place}: {a} from the source, {b} from the target"))
    };
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (left.get(key), right.get(key)) {
                    (Some(a), Some(b)) => first_difference(a, b, &at),
                    (Some(_), None) => Some(format!("{at}: only from the source")),
                    (None, _) => Some(format!("{at}: only from the target")),
                }
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            let pairs = left.iter().zip(right).enumerate();
            pairs
                .filter_map(|(index, (a, b))| first_difference(a, b, &format!("{at}/{index}")))
                .next()
                .or_else(|| {
                    let (a, b) = (left.len(), right.len());
                    (a != b).then(|| format!("{place}: {a} items from the source, {b} from the target"))
                })
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ if a == b => None,
        _ => differ(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{Answer, Stub, nobody};
    use crate::testing::{Io, block};

    fn look(source: (u16, &'static str), target: (u16, &'static str), settings: &[(&str, Value)]) -> Reading {
        let serve =
            |(status, body): (u16, &'static str)| Stub::new(move |_| Answer(status, "", body.to_owned()));
        let (a, b) = (serve(source), serve(target));
        let mut all = vec![("source", json!(a.url)), ("target", json!(b.url))];
        all.extend(settings.iter().cloned());
        CompareProbe.look(&block("w", "compare", &all), &Io::default()).expect("looks")
    }

    #[test]
    fn alike_is_alike_whatever_the_order_of_keys_and_what_is_ignored() {
        let (a, b) = (
            r#"{"took": 3, "hits": [{"s": 1.5, "id": "x"}], "n": 3}"#,
            r#"{"n": 3.0, "took": 9, "hits": [{"id": "x", "s": 1.25}]}"#,
        );
        let ignore = ("ignore", json!(["/took", "/hits/*/s"]));
        let reading = look((200, a), (200, b), &[ignore]);
        assert!(reading.ok, "{reading:?}");
        let reading = look((200, a), (200, b), &[("ignore", json!(["/took"]))]);
        assert_eq!(reading.said, "/hits/0/s: \"1.5\" from the source, \"1.25\" from the target");
    }

    #[test]
    fn what_differs_first_is_said() {
        let said = |a, b| look(a, b, &[]).said;
        assert_eq!(said((200, ""), (404, "")), "HTTP 200 from the source, 404 from the target");
        assert_eq!(said((500, ""), (500, "")), "both answer HTTP 500, not 200-299");
        assert_eq!(
            said((200, r#"{"a":[1]}"#), (200, r#"{"a":[1,2]}"#)),
            "/a: 1 items from the source, 2 from the target"
        );
        assert_eq!(said((200, r#"{"a":1}"#), (200, r#"{"b":1}"#)), "/a: only from the source");
        assert_eq!(
            said((200, "a\nb"), (200, "a\nc")),
            "line 2: \"b\" from the source, \"c\" from the target"
        );
        assert_eq!(said((200, "{}"), (200, "x")), "the source answers JSON, the target does not");
    }

    #[test]
    fn every_path_is_asked_of_both() {
        let answer = |wrong: &'static str| {
            Stub::new(move |h| Answer::ok(if h.path == "/b?q=1" { wrong } else { "same" }))
        };
        let (a, b) = (answer("one"), answer("two"));
        let settings = [
            ("source", json!(format!("{}/", a.url))),
            ("target", json!(b.url)),
            ("paths", json!(["/a", "/b?q=1", "/c"])),
        ];
        let reading = CompareProbe.look(&block("w", "compare", &settings), &Io::default()).expect("looks");
        assert_eq!(reading.said, "/b?…: line 1: \"one\" from the source, \"two\" from the target");
        let paths = |stub: &Stub| stub.heard().into_iter().map(|h| h.path).collect::<Vec<_>>();
        assert_eq!(paths(&a), ["/a", "/b?q=1"]);
        assert_eq!(paths(&a), paths(&b));
    }

    #[test]
    fn a_side_that_does_not_answer_is_named() {
        let a = Stub::new(|_| Answer::ok(""));
        let settings = [("source", json!(a.url)), ("target", json!(nobody()))];
        let reading = CompareProbe.look(&block("w", "compare", &settings), &Io::default()).expect("looks");
        assert!(!reading.ok && reading.said.starts_with("the target: GET http://"), "{reading:?}");
    }
}
