//! Asking a server whether it would make an index, without making it: the index template simulator builds the index in
//! memory, with analysis, similarities and field types, and forgets it.

use segue_contract::StepError;
use serde_json::{Value, json};

use super::carry::Translated;
use super::carry::settings::{PARTITION_SIZE, ROUTING_SHARDS};
use super::cluster::{Ask, Cluster, Effect};
use super::names::encoded;
use super::refusal::Refusal;

/// More names than this are not in one mapping of settings that a server refuses.
const DROPPED_MAX: usize = 20;

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trial {
    /// It would make it.
    Well,
    /// It would not, and why.
    Refused(String),
    /// This version cannot say, or the block's user may not ask.
    Unknown(String),
}

/// Asks whether an index would be made. Settings that the server does not know are taken out of `wanted`, and returned.
pub(crate) fn tried(
    to: &Cluster,
    name: &str,
    wanted: &mut Translated,
) -> Result<(Trial, Vec<String>), StepError> {
    let about = to.about()?;
    if !about.has_composable_templates() {
        return Ok((Trial::Unknown(format!("{about} has no way to try it")), Vec::new()));
    }
    let path = format!("/_index_template/_simulate_index/{}", encoded(name));
    let mut dropped = Vec::new();
    loop {
        // The trial has one shard, whatever is asked for, and placement is held against that.
        let mut settings = wanted.settings.clone();
        settings.retain(|name, _| ![ROUTING_SHARDS, PARTITION_SIZE].contains(&name.as_str()));
        let body = json!({
            "index_patterns": [name],
            "priority": 999_999_999,
            "template": {"settings": settings, "mappings": wanted.mapping},
        });
        let refusal = match to.answer(&Ask::look(path.as_str(), &body))? {
            Ok(_) => return Ok((Trial::Well, dropped)),
            Err(refusal) => refusal,
        };
        if let Some(name) =
            unknown_setting(&refusal, &wanted.settings).filter(|_| dropped.len() < DROPPED_MAX)
        {
            wanted.settings.remove(&name);
            dropped.push(name);
            continue;
        }
        return match refusal.status {
            400 => Ok((Trial::Refused(refusal.reason), dropped)),
            401 | 403 | 404 | 405 => Ok((Trial::Unknown(refusal.to_string()), dropped)),
            _ => Err(refusal.step(Effect::Read)),
        };
    }
}

/// The setting that a refusal says is not known.
pub(crate) fn unknown_setting(
    refusal: &Refusal,
    settings: &serde_json::Map<String, Value>,
) -> Option<String> {
    let rest = refusal.reason.split_once("unknown setting [")?.1;
    let name = rest.split_once(']')?.0;
    let full = [name.to_owned(), format!("index.{name}")];
    full.into_iter().find(|name| settings.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{Answer, Stub};
    use crate::testing::{Io, block};

    fn server(answer: impl Fn(&str) -> Answer + Send + 'static) -> Cluster {
        let root =
            json!({"cluster_uuid": "u", "version": {"number": "2.19.4", "distribution": "opensearch"}})
                .to_string();
        let stub =
            Stub::new(move |heard| if heard.path == "/" { Answer::ok(&root) } else { answer(&heard.body) });
        let block = block("target.opensearch.new", "opensearch", &[("url", json!(stub.url))]);
        Cluster::of(&block, &Io::default()).expect("a cluster")
    }

    fn wanted() -> Translated {
        let settings = json!({"index.codec": "zstd", "index.strange": "1"});
        let settings = settings.as_object().cloned().unwrap_or_default();
        Translated { settings, mapping: json!({}), findings: Vec::new(), left_out: Vec::new() }
    }

    #[test]
    fn settings_that_the_server_does_not_know_are_taken_out_and_told() {
        let cluster = server(|body| {
            if !body.contains("index.strange") {
                return Answer::ok("{}");
            }
            let reason = "unknown setting [index.strange] did you mean [index.sort]?";
            Answer(
                400,
                "",
                json!({"error": {"type": "illegal_argument_exception", "reason": reason}}).to_string(),
            )
        });
        let mut wanted = wanted();
        let said = tried(&cluster, "books", &mut wanted).expect("answers");
        assert_eq!(said, (Trial::Well, vec!["index.strange".to_owned()]));
        assert_eq!(wanted.settings.keys().collect::<Vec<_>>(), ["index.codec"]);
    }

    #[test]
    fn a_refusal_is_told_and_one_who_may_not_ask_proves_nothing() {
        let body =
            json!({"error": {"type": "x", "reason": "Unknown tokenizer type [icu_tokenizer] for [t]"}});
        let cluster = server(move |_| Answer(400, "", body.to_string()));
        let refused = Trial::Refused("Unknown tokenizer type [icu_tokenizer] for [t]".to_owned());
        assert_eq!(tried(&cluster, "books", &mut wanted()).expect("answers").0, refused);
        let cluster = server(|_| Answer::status(403));
        assert!(matches!(tried(&cluster, "books", &mut wanted()).expect("answers").0, Trial::Unknown(_)));
    }
}
