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
        let (kind, reason) = match &value["error"] {
            // What stands before the cluster refuses in its own words, as Amazon's endpoints do.
            Value::Null => (String::new(), shortened(&of_the_front(&value))),
            error => said(error),
        };
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

    /// Whether a signature, or the keys that it was made with, are not taken.
    fn is_of_a_signature(&self) -> bool {
        let reason = self.reason.to_lowercase();
        ["request signature", "security token", "incompletesignature", "credential should be scoped"]
            .iter()
            .any(|words| reason.contains(words))
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
            (403, _) if self.is("cluster_block_exception") => StepError::permanent(what)
                .remedy("see the index's blocks (`GET /INDEX/_settings`): a full disk sets one too"),
            (401 | 403, _) if self.is_of_a_signature() => StepError::permanent(what).remedy(
                "correct aws_access_key_id, aws_secret_access_key, aws_region and aws_service (the keys of a role need aws_session_token, too)",
            ),
            (401, _) => StepError::permanent(what)
                .remedy("correct the block's login: the server takes it for nobody's"),
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

/// What a front says when it refuses: `message`, without the request that it repeats, with which a session's token would
/// be shown.
fn of_the_front(answer: &Value) -> String {
    let message = ["message", "Message"].iter().find_map(|name| answer[name].as_str()).unwrap_or_default();
    let told =
        message.find("The Canonical String").map_or(message, |at| message.get(..at).unwrap_or(message));
    told.to_owned()
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
    fn a_signature_that_a_front_refuses_is_told_without_the_request() {
        let said = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
                    Key and signing method. The Canonical String for this request should have been 'GET\n/\nx-amz-security-token:hunter2'";
        let refused = refusal(403, &json!({"message": said}));
        assert!(
            refused.reason.ends_with("signing method.") && !refused.reason.contains("hunter2"),
            "{refused}"
        );
        let error = refused.step(Effect::Read);
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.remedy.is_some_and(|remedy| remedy.contains("aws_secret_access_key")));
        let denied =
            refusal(403, &json!({"Message": "User: anonymous is not authorized to perform: es:ESHttpGet"}));
        assert!(denied.to_string().ends_with("es:ESHttpGet"), "{denied}");
        assert!(denied.step(Effect::Read).remedy.is_some_and(|remedy| remedy.contains("the right")));
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
