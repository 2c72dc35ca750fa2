//! Replies of searches, multi-gets and statistics as the engine's own words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::raw::{NotJson, compact, member, parts};
use crate::engines::documents::{Found, Key, SliceStand, Want, Window};

/// Where one shard stands, by the statistics of all copies.
pub(super) fn stand(shards: &Value, terms: &Value, shard: u32) -> Result<SliceStand, String> {
    let copies = shards[shard.to_string()].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let number = |copy: &Value, name: &str| copy["seq_no"][name].as_i64();
    // -1: no operation yet; -2: not known yet.
    let count = |number: i64| u64::try_from(number + 1).unwrap_or(0);
    let primary = copies
        .iter()
        .find(|copy| copy["routing"]["primary"] == true && copy["routing"]["state"] == "STARTED")
        .ok_or_else(|| format!("shard {shard} has no primary that is started"))?;
    let settled = number(primary, "global_checkpoint")
        .ok_or_else(|| format!("shard {shard} does not say where it stands"))?;
    let most = copies.iter().filter_map(|copy| number(copy, "max_seq_no")).max().unwrap_or(settled);
    let term =
        terms[shard.to_string()].as_u64().ok_or_else(|| format!("shard {shard} does not say its term"))?;
    Ok(SliceStand { term, settled: count(settled), all: count(most.max(settled)) })
}

/// What is beside a document's body.
#[derive(Deserialize)]
struct Beside {
    _id: String,
    _routing: Option<String>,
    _version: Option<u64>,
    _seq_no: Option<u64>,
    found: Option<bool>,
    error: Option<Value>,
}

/// One document of a reply, its body apart.
fn split(text: &[u8], want: Want) -> Result<(Beside, Vec<u8>), String> {
    let broken = |_: NotJson| "a reply that was cut short".to_owned();
    let mut rest = Vec::with_capacity(256);
    let mut body = Vec::new();
    for part in parts(text).map_err(broken)? {
        let (name, value) = part.map_err(broken)?;
        match name {
            b"_source" if want == Want::Bodies => body = compact(value).map_err(broken)?,
            b"_source" => {}
            _ => {
                rest.push(if rest.is_empty() { b'{' } else { b',' });
                rest.push(b'"');
                rest.extend_from_slice(name);
                rest.extend_from_slice(b"\":");
                rest.extend_from_slice(value);
            }
        }
    }
    rest.push(b'}');
    let beside =
        serde_json::from_slice(&rest).map_err(|e| format!("a document that cannot be understood: {e}"))?;
    Ok((beside, body))
}

fn found(beside: Beside, body: Vec<u8>, want: Want) -> Result<Found, String> {
    let Beside { _id: id, _routing: place, _version: version, _seq_no: number, .. } = beside;
    let (Some(version), Some(number)) = (version, number) else {
        return Err(format!("document {id} came without its version or number"));
    };
    if want == Want::Bodies && body.is_empty() {
        return Err(format!("document {id} has no source"));
    }
    Ok(Found { key: Key { id, place }, number, version, body })
}

/// The documents of a search, and how many there are in all.
pub(super) fn hits(reply: &[u8], want: Want) -> Result<(Vec<Found>, u64), String> {
    let broken = |_: NotJson| "a reply that was cut short".to_owned();
    let (mut list, mut total): (&[u8], Option<u64>) = (b"[]", None);
    for part in parts(reply).map_err(broken)? {
        let (name, value) = part.map_err(broken)?;
        match name {
            b"timed_out" if value != b"false" => return Err("a scan ran out of time".to_owned()),
            b"_shards" => all_answered(value)?,
            b"hits" => {
                list = member(value, "hits").map_err(broken)?.unwrap_or(b"[]");
                let counted: Value = member(value, "total")
                    .map_err(broken)?
                    .and_then(|text| serde_json::from_slice(text).ok())
                    .unwrap_or(Value::Null);
                // Elasticsearch 6 gives a number.
                total = counted.as_u64().or(counted["value"].as_u64());
            }
            _ => {}
        }
    }
    let total = total.ok_or("a search without a total")?;
    let mut all = Vec::new();
    for part in parts(list).map_err(broken)? {
        let (beside, body) = split(part.map_err(broken)?.1, want)?;
        all.push(found(beside, body, want)?);
    }
    Ok((all, total))
}

/// What of the reply to a census is read.
pub(super) const CENSUS: &str = "filter_path=timed_out,_shards,hits.total,aggregations.parts.buckets.key,\
    aggregations.parts.buckets.doc_count";

/// How many documents there are in each part of some windows. Together they are as many as the windows have: a part that was cut
/// off, or a number in two parts, shows.
pub(super) fn census(reply: &Value, windows: &[Window], width: u64) -> Result<Vec<u64>, String> {
    if reply["timed_out"] != Value::Bool(false) {
        return Err("a count ran out of time".to_owned());
    }
    answered(&reply["_shards"])?;
    let parts_of = |window: &Window| usize::try_from((window.to - window.from).div_ceil(width)).unwrap_or(0);
    let mut begins = BTreeMap::new();
    let mut all = 0;
    for window in windows {
        begins.insert(window.from, (window.to, all));
        all += parts_of(window);
    }
    let (mut parts, mut sum) = (vec![0; all], 0);
    for bucket in reply["aggregations"]["parts"]["buckets"].as_array().into_iter().flatten() {
        // Whole numbers below 2^53, printed as 64.0.
        let key = bucket["key"].as_f64().filter(|key| *key >= 0.0).map(|key| key as u64);
        let at = key.and_then(|key| {
            let (from, (to, begin)) = begins.range(..=key).next_back()?;
            Some(begin + usize::try_from((key - from) / width).ok().filter(|_| key < *to)?)
        });
        let part = at.and_then(|at| parts.get_mut(at)).ok_or("a count beyond what was asked for")?;
        let count = bucket["doc_count"].as_u64().ok_or("a count without a number")?;
        *part += count;
        sum += count;
    }
    let total = &reply["hits"]["total"];
    match total.as_u64().or(total["value"].as_u64()) {
        Some(total) if total == sum => Ok(parts),
        Some(total) => Err(format!("a count gave {sum} documents of {total}")),
        None => Err("a search without a total".to_owned()),
    }
}

/// Where a scroll goes on.
pub(super) fn scroll_id(reply: &[u8]) -> Result<String, String> {
    let id = member(reply, "_scroll_id").map_err(|_| "a reply that was cut short")?;
    id.and_then(|id| serde_json::from_slice(id).ok()).ok_or_else(|| "a scroll without an id".to_owned())
}

/// Whether the shard that was asked answered; a search of a shard that has no copy asks none.
fn all_answered(text: &[u8]) -> Result<(), String> {
    let shards: Value = serde_json::from_slice(text).map_err(|_| "a reply that was cut short")?;
    answered(&shards)
}

fn answered(shards: &Value) -> Result<(), String> {
    let number = |name: &str| shards[name].as_u64().unwrap_or(0);
    if number("failed") > 0 || number("successful") == 0 {
        let (kind, reason) = crate::search::refusal::said(&shards["failures"][0]["reason"]);
        return Err(format!("the shard did not answer: {kind}: {reason}"));
    }
    Ok(())
}

/// The documents of a multi-get, in the order of the keys.
pub(super) fn documents(reply: &[u8], keys: &[Key], want: Want) -> Result<Vec<Option<Found>>, String> {
    let broken = |_: NotJson| "a reply that was cut short".to_owned();
    let list = member(reply, "docs").map_err(broken)?.ok_or("a multi-get without documents")?;
    let mut all = Vec::with_capacity(keys.len());
    for part in parts(list).map_err(broken)? {
        let (beside, body) = split(part.map_err(broken)?.1, want)?;
        let key = keys.get(all.len()).ok_or("a multi-get with more documents than were asked for")?;
        if let Some(error) = &beside.error {
            let (kind, reason) = crate::search::refusal::said(error);
            return Err(format!("{key} could not be read: {kind}: {reason}"));
        }
        if beside._id != key.id {
            return Err(format!("a multi-get gave {} for {key}", beside._id));
        }
        if beside.found != Some(true) {
            all.push(None);
            continue;
        }
        all.push(Some(found(beside, body, want)?));
    }
    if all.len() != keys.len() {
        return Err(format!("a multi-get gave {} documents of {}", all.len(), keys.len()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shard_stands_where_its_primary_says_and_all_is_what_any_copy_knows() {
        let copy = |primary: bool, max: i64, global: i64| {
            json!({"routing": {"primary": primary, "state": "STARTED"},
                "seq_no": {"max_seq_no": max, "local_checkpoint": max, "global_checkpoint": global}})
        };
        let shards = json!({"0": [copy(false, 12, 8), copy(true, 11, 9)], "1": [copy(true, -1, -1)], "2": [copy(false, 3, 3)]});
        let terms = json!({"0": 4, "1": 1, "2": 1});
        assert_eq!(stand(&shards, &terms, 0), Ok(SliceStand { term: 4, settled: 10, all: 13 }));
        assert_eq!(stand(&shards, &terms, 1), Ok(SliceStand { term: 1, settled: 0, all: 0 }));
        assert!(stand(&shards, &terms, 2).expect_err("no primary").contains("has no primary"));
    }

    #[test]
    fn documents_come_with_their_bodies_as_they_were_sent() {
        let reply = br#"{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},"hits":{"total":{"value":2,"relation":"eq"},"hits":[
            {"_index":"i","_id":"a\"b","_version":7,"_seq_no":3,"_primary_term":1,"_score":null,"_routing":"r","_source":{ "n" : 1.00, "s": " x " },"sort":[0]},
            {"_index":"i","_id":"c","_version":1,"_seq_no":4,"_primary_term":1,"_source":{}}]}}"#;
        let (all, total) = hits(reply, Want::Bodies).expect("whole");
        assert_eq!((all.len(), total), (2, 2));
        let wanted = Found {
            key: Key { id: "a\"b".to_owned(), place: Some("r".to_owned()) },
            number: 3,
            version: 7,
            body: br#"{"n":1.00,"s":" x "}"#.to_vec(),
        };
        assert_eq!(all[0], wanted);
        assert_eq!(hits(reply, Want::Keys).expect("whole").0[0].body, b"");
        for length in 0..reply.len() {
            assert!(hits(&reply[..length], Want::Keys).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_census_is_whole_or_an_error() {
        let window = [Window { slice: 0, from: 64, to: 200 }];
        let reply = |buckets: &Value, total: u64| {
            json!({"timed_out": false, "_shards": {"successful": 1, "failed": 0}, "hits": {"total": {"value": total}},
                "aggregations": {"parts": {"buckets": buckets}}})
        };
        let parts = json!([{"key": 64.0, "doc_count": 3}, {"key": 192.0, "doc_count": 1}]);
        assert_eq!(census(&reply(&parts, 4), &window, 64), Ok(vec![3, 0, 1]));
        assert_eq!(census(&reply(&Value::Null, 0), &window, 64), Ok(vec![0, 0, 0]));
        assert!(
            census(&reply(&parts, 5), &window, 64).expect_err("one is missing").contains("4 documents of 5")
        );
        assert!(census(&reply(&json!([{"key": 0.0, "doc_count": 1}]), 1), &window, 64).is_err());
        assert!(census(&reply(&json!([{"key": 256.0, "doc_count": 1}]), 1), &window, 64).is_err());
        let two = [(5, 7), (20, 22)].map(|(from, to)| Window { slice: 0, from, to });
        let each = json!([{"key": 6.0, "doc_count": 2}, {"key": 20.0, "doc_count": 1}]);
        assert_eq!(census(&reply(&each, 3), &two, 1), Ok(vec![0, 2, 1, 0]));
        assert!(census(&reply(&json!([{"key": 9.0, "doc_count": 3}]), 3), &two, 1).is_err());
        let mut late = reply(&parts, 4);
        late["timed_out"] = json!(true);
        assert!(census(&late, &window, 64).is_err());
        assert!(census(&json!({}), &window, 64).is_err());
    }

    #[test]
    fn a_search_that_did_not_reach_its_shard_is_an_error() {
        let of = |shards: &Value, timed_out: bool| {
            let reply = json!({"timed_out": timed_out, "_shards": shards, "hits": {"total": 0, "hits": []}})
                .to_string();
            hits(reply.as_bytes(), Want::Keys)
        };
        assert_eq!(of(&json!({"total": 1, "successful": 1, "failed": 0}), false), Ok((Vec::new(), 0)));
        assert!(of(&json!({"total": 1, "successful": 0, "failed": 1}), false).is_err());
        assert!(of(&json!({"total": 0, "successful": 0, "failed": 0}), false).is_err());
        assert!(of(&json!({"total": 1, "successful": 1, "failed": 0}), true).is_err());
    }

    #[test]
    fn what_is_read_by_key_is_in_the_order_of_the_keys() {
        let keys = ["a", "b"].map(|id| Key { id: id.to_owned(), place: None });
        let reply = br#"{"docs":[{"_id":"a","found":false},{"_id":"b","_version":2,"_seq_no":0,"found":true,"_source":{"x":1}}]}"#;
        let found = documents(reply, &keys, Want::Bodies).expect("whole");
        assert_eq!((found[0].is_none(), found[1].as_ref().map(|f| f.version)), (true, Some(2)));
        assert!(documents(br#"{"docs":[{"_id":"a","found":false}]}"#, &keys, Want::Keys).is_err());
        let failed = br#"{"docs":[{"_id":"a","error":{"type":"x","reason":"y"}},{"_id":"b","found":false}]}"#;
        assert!(documents(failed, &keys, Want::Keys).expect_err("failed").contains("x: y"));
    }
}
