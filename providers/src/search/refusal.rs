//! What a server says when it refuses: the error's type and reason, never the whole body.

use std::fmt;

use segue_contract::StepError;
use serde_json::Value;

use super::cluster::Effect;

/// How much of a reason is shown: it may repeat a document.
const REASON_CHARS_MAX: usize = 240;

/// A status that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was asked, as it is shown.
    pub(crate) asked: String,
    /// The status code.
    pub(crate) status: u16,
    /// The error's type: `index_not_found_exception`; empty when the answer names none.
    pub(crate) kind: String,
    /// Its reason, shortened.
    pub(crate) reason: String,
    /// How long the server asks to wait, in seconds.
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    /// Reads an error's body.
    pub(crate) fn read(asked: String, status: u16, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let (kind, reason) = said(&value["error"]);
        Self { asked, status, kind, reason, retry_after_s }
    }

    /// Whether the error or one of its causes is of this type.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.split(' ').any(|k| k == kind)
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_absent(&self) -> bool {
        self.status == 404
    }

    /// The error of a step that has no use for this status.
    pub(crate) fn step(self, effect: Effect) -> StepError {
        let what = self.to_string();
        match (self.status, effect) {
            (429, _) => StepError::transient(what).remedy("the server is busy: give it time or send less"),
            (503, _) => StepError::transient(what).remedy("see the cluster's health and its log"),
            (408 | 500 | 502 | 504, Effect::Read) => {
                StepError::transient(what).remedy("see the cluster's health and its log")
            }
            (408 | 500 | 502 | 504, Effect::Write) => {
                StepError::unknown(what).remedy("see the cluster's health and its log")
            }
            (401, _) => StepError::permanent(what)
                .remedy("correct the block's login: the server takes it for nobody's"),
            (403, _) if self.is("cluster_block_exception") => StepError::permanent(what)
                .remedy("see the index's blocks (`GET /INDEX/_settings`): a full disk sets one too"),
            (403, _) => StepError::permanent(what)
                .remedy("give the block's user the right that the server names, or use another one"),
            (_, _) => StepError::permanent(what),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered HTTP {}", self.asked, self.status)?;
        let kind = self.kind.split(' ').next().unwrap_or_default();
        match (kind, self.reason.as_str()) {
            ("", "") => Ok(()),
            ("", reason) => write!(f, ": {reason}"),
            (kind, "") => write!(f, ": {kind}"),
            (kind, reason) => write!(f, ": {kind}: {reason}"),
        }?;
        match self.retry_after_s {
            Some(seconds) => write!(f, " (it asks to wait {seconds} s)"),
            None => Ok(()),
        }
    }
}

/// The type and the reason of an error object: the outermost type first, then those of its causes, and the reason of the
/// innermost cause beside the outermost.
pub(crate) fn said(error: &Value) -> (String, String) {
    if let Some(text) = error.as_str() {
        return (String::new(), shortened(text));
    }
    let (mut kinds, mut reasons): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut at = error;
    while at.is_object() {
        kinds.extend(at["type"].as_str());
        reasons.extend(at["reason"].as_str());
        at = &at["caused_by"];
    }
    let root = error["root_cause"].as_array().and_then(|list| list.first()).unwrap_or(&Value::Null);
    kinds.extend(root["type"].as_str());
    if reasons.len() < 2 {
        reasons.extend(root["reason"].as_str());
    }
    let reason = match (reasons.first(), reasons.last()) {
        (Some(first), Some(last)) if first.contains(last) => (*first).to_owned(),
        (Some(first), Some(last)) => format!("{first}: {last}"),
        _ => String::new(),
    };
    (kinds.join(" "), shortened(&reason))
}

/// One line of bounded length.
pub(crate) fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= REASON_CHARS_MAX {
        return line;
    }
    line.chars().take(REASON_CHARS_MAX).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use segue_contract::ErrorClass;
    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: &Value) -> Refusal {
        Refusal::read("GET http://h/a".to_owned(), status, None, body.to_string().as_bytes())
    }

    #[test]
    fn a_refusal_says_type_and_reason_and_not_the_body() {
        let body = json!({"error": {
            "type": "mapper_parsing_exception", "reason": "failed to parse",
            "caused_by": {"type": "illegal_argument_exception", "reason": "No handler for type [x]"},
            "root_cause": [{"type": "mapper_parsing_exception", "reason": "failed to parse"}],
            "stack_trace": "secret things"}, "status": 400});
        let refused = refusal(400, &body);
        let wanted = "GET http://h/a answered HTTP 400: mapper_parsing_exception: failed to parse: No handler for type [x]";
        assert_eq!(refused.to_string(), wanted);
        assert!(refused.is("illegal_argument_exception") && !refused.is("illegal"));
        let long = refusal(400, &json!({"error": {"type": "t", "reason": "x".repeat(5000)}}));
        assert!(long.to_string().len() < 400, "{long}");
        assert_eq!(refusal(400, &json!({"error": "plain words"})).reason, "plain words");
        assert_eq!(
            Refusal::read("GET x".to_owned(), 502, None, b"<html>").to_string(),
            "GET x answered HTTP 502"
        );
    }

    #[test]
    fn what_may_pass_is_transient_and_a_lost_write_is_unknown() {
        let class = |status, effect| refusal(status, &Value::Null).step(effect).class;
        assert_eq!(class(429, Effect::Write), ErrorClass::Transient);
        assert_eq!(class(503, Effect::Read), ErrorClass::Transient);
        assert_eq!(class(504, Effect::Read), ErrorClass::Transient);
        assert_eq!(class(504, Effect::Write), ErrorClass::Unknown);
        assert_eq!(class(401, Effect::Read), ErrorClass::Permanent);
        assert_eq!(class(400, Effect::Write), ErrorClass::Permanent);
    }
}
