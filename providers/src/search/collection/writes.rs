//! Batches of writes as lines of `_bulk`, and what became of each.

use segue_contract::StepError;
use serde_json::Value;

use crate::engines::documents::{Write, Written};
use crate::search::refusal::{said, shortened};

/// What of an answer is read: servers build and send a third of it then.
pub(super) const ANSWER: &str = "filter_path=errors,items.*._seq_no,items.*.status,items.*.error";

/// The lines of a batch. A put may be repeated with the same version, a delete is refused by an equal one.
pub(super) fn lines(batch: &[Write]) -> Vec<u8> {
    lines_with(batch, "external_gte", |write| write.version)
}

/// The lines of a batch that is added: the lowest version there is, so that whatever is there or was deleted lately has one
/// that refuses it.
pub(super) fn lines_added(batch: &[Write]) -> Vec<u8> {
    lines_with(batch, "external", |_| 1)
}

fn lines_with(batch: &[Write], put: &str, version: impl Fn(&Write) -> u64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.iter().map(|w| 160 + w.body.as_ref().map_or(0, Vec::len)).sum());
    let quoted = |text: &str| Value::from(text).to_string();
    for write in batch {
        let (action, kind) = if write.body.is_some() { ("index", put) } else { ("delete", "external") };
        let (id, version) = (quoted(&write.key.id), version(write));
        let place = write.key.place.as_deref().map(|place| format!(",\"routing\":{}", quoted(place)));
        let place = place.unwrap_or_default();
        let meta = format!(
            "{{\"{action}\":{{\"_id\":{id},\"version\":{version},\"version_type\":\"{kind}\"{place}}}}}\n"
        );
        lines.extend_from_slice(meta.as_bytes());
        if let Some(body) = &write.body {
            lines.extend_from_slice(body);
            lines.push(b'\n');
        }
    }
    lines
}

/// What became of each write.
///
/// # Errors
/// The answer is not whole, or the index refuses everything: then nothing is said of single documents.
pub(super) fn answers(answer: &Value, asked: usize) -> Result<Vec<Written>, StepError> {
    let items = answer["items"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if items.len() != asked {
        return Err(StepError::unknown(format!("a bulk answered for {} writes of {asked}", items.len())));
    }
    let items: Vec<&Value> = items.iter().filter_map(|item| item.as_object()?.values().next()).collect();
    let closed: Vec<&&Value> = items.iter().filter(|item| is_closed(item)).collect();
    if let Some(first) = closed.first() {
        let (kind, reason) = said(&first["error"]);
        let what = format!("writes are refused: {kind}: {reason}");
        let remedy = match first["error"]["type"].as_str() {
            Some("index_not_found_exception") => {
                "it was deleted while segue wrote to it: find out by whom; if the server has made one by itself since, delete that; then run again"
            }
            Some("index_closed_exception") => "open it (`POST /INDEX/_open`), then run again",
            Some("security_exception") => "give the block's user the right to write there",
            _ => "see the index's blocks (`GET /INDEX/_settings`); the server sets one when a disk is full",
        };
        // Some shards heard of it later than others.
        return Err(if closed.len() == items.len() {
            StepError::permanent(what)
        } else {
            StepError::unknown(what)
        }
        .remedy(remedy));
    }
    items.into_iter().map(one).collect()
}

/// Whether it is the index that refuses, and not this document: a block, no right, no index.
fn is_closed(item: &Value) -> bool {
    let kind = item["error"]["type"].as_str().unwrap_or_default();
    ["cluster_block_exception", "security_exception", "index_not_found_exception", "index_closed_exception"]
        .contains(&kind)
}

fn one(item: &Value) -> Result<Written, StepError> {
    let status = item["status"].as_u64().unwrap_or(0);
    let error = &item["error"];
    if error.is_null() {
        // A delete of what is not there (404) leaves a change, too.
        return match item["_seq_no"].as_u64() {
            Some(number) => Ok(Written::Done { number }),
            None => Err(StepError::unknown(format!("a write was answered by {status} without its number"))),
        };
    }
    let (kind, reason) = said(error);
    let first = kind.split(' ').next().unwrap_or_default();
    match status {
        409 => Ok(Written::Newer),
        429 | 503 => Ok(Written::Later(format!("{first}: {reason}"))),
        400..500 => Ok(Written::Refused(refused(first, error))),
        _ => Err(StepError::unknown(format!("a write was answered by {status}: {first}: {reason}"))),
    }
}

/// Why a document is refused, without what it shows of the document: causes repeat values, and only their types are told.
fn refused(kind: &str, error: &Value) -> String {
    let reason = error["reason"].as_str().unwrap_or_default();
    let cut = reason.find(". Preview of field").or_else(|| reason.find(" Preview of field"));
    let reason = shortened(reason.get(..cut.unwrap_or(reason.len())).unwrap_or(reason));
    match error["caused_by"]["type"].as_str() {
        Some(cause) => format!("{kind}: {reason} ({cause})"),
        None => format!("{kind}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::ErrorClass;
    use serde_json::json;

    use super::*;
    use crate::engines::documents::Key;

    #[test]
    fn a_batch_is_lines_with_versions_and_routings() {
        let key = |place: Option<&str>| Key { id: "a\"".to_owned(), place: place.map(str::to_owned) };
        let batch = [
            Write { key: key(None), version: 5, body: Some(b"{\"n\":1.00}".to_vec()) },
            Write { key: key(Some("r")), version: 6, body: None },
        ];
        let text = String::from_utf8(lines(&batch)).expect("text");
        let mut text = text.lines();
        let mut next = || -> Value { serde_json::from_str(text.next().expect("a line")).expect("json") };
        assert_eq!(next(), json!({"index": {"_id": "a\"", "version": 5, "version_type": "external_gte"}}));
        assert_eq!(next(), json!({"n": 1.0}));
        let wanted =
            json!({"delete": {"_id": "a\"", "version": 6, "version_type": "external", "routing": "r"}});
        assert_eq!(next(), wanted);
    }

    #[test]
    fn what_is_added_has_the_lowest_version_and_is_refused_by_an_equal_one() {
        let key = Key { id: "a".to_owned(), place: None };
        let text = lines_added(&[Write { key, version: 5, body: Some(b"{}".to_vec()) }]);
        let first: Value =
            serde_json::from_slice(text.split(|b| *b == b'\n').next().expect("a line")).expect("json");
        assert_eq!(first, json!({"index": {"_id": "a", "version": 1, "version_type": "external"}}));
    }

    #[test]
    fn each_write_has_its_own_answer() {
        let cause = json!({"type": "illegal_argument_exception", "reason": "For input string: \"secret\""});
        let error = |kind: &str, reason: &str| json!({"type": kind, "reason": reason, "caused_by": cause});
        let preview = "failed to parse field [n] of type [long] in document with id 'a'. Preview of field's value: 'secret'";
        let items = json!({"items": [
            {"index": {"status": 201, "_seq_no": 7}},
            {"delete": {"status": 404, "_seq_no": 8, "result": "not_found"}},
            {"index": {"status": 409, "error": error("version_conflict_engine_exception", "x")}},
            {"index": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "busy"}}},
            {"index": {"status": 400, "error": error("mapper_parsing_exception", preview)}}]});
        let written = answers(&items, 5).expect("whole");
        assert_eq!(written[..3], [Written::Done { number: 7 }, Written::Done { number: 8 }, Written::Newer]);
        assert!(matches!(&written[3], Written::Later(why) if why == "es_rejected_execution_exception: busy"));
        let refused =
            |why: &str| why.ends_with("with id 'a' (illegal_argument_exception)") && !why.contains("secret");
        assert!(matches!(&written[4], Written::Refused(why) if refused(why)), "{:?}", written[4]);
    }

    #[test]
    fn an_index_that_refuses_is_an_error_and_so_is_an_answer_that_is_not_whole() {
        let blocked =
            json!({"index": {"status": 403, "error": {"type": "cluster_block_exception", "reason": "no"}}});
        let done = json!({"index": {"status": 201, "_seq_no": 7}});
        let class = |items: &[&Value], asked| answers(&json!({"items": items}), asked).expect_err("no").class;
        assert_eq!(class(&[&blocked, &blocked], 2), ErrorClass::Permanent);
        assert_eq!(class(&[&blocked, &done], 2), ErrorClass::Unknown);
        assert_eq!(class(&[&done], 2), ErrorClass::Unknown);
        let broken = json!({"index": {"status": 500, "error": {"type": "x", "reason": "y"}}});
        assert_eq!(class(&[&broken], 1), ErrorClass::Unknown);
    }
}
