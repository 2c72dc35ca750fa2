//! `route "search_alias"`: an alias that clients search and write through, moved from one index to another at one instant.
//!
//! Both indices lie in one cluster: an alias cannot lead to another one. Where source and target are two clusters, the
//! alias is a part of each (the migration carries it), and a DNS name or a proxy is the route between them.

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Route, RouteAt, Severity,
    Side, StepError, StepIo, SystemPath, server_address,
};
use serde_json::{Map, Value, json};

use super::cluster::{Ask, Cluster, Effect};
use super::names::encoded;
use super::{by_hand, cluster, indices};
use crate::http;

const CODE: &str = "ROUTE_SEARCH_ALIAS";

pub(super) fn schema() -> BlockSchema {
    let text = |name, doc| AttributeSchema::required(name, AttributeType::String, doc);
    let mut attributes = vec![
        text("alias", "The alias that clients use."),
        text("source", "The index that it leads to while the source serves."),
        text("target", "The index that it leads to while the target serves."),
    ];
    attributes.extend(super::connection());
    BlockSchema {
        kind: BlockKind::Route,
        name: "search_alias".to_owned(),
        doc: "An alias of a search cluster, moved from one index to another at one instant, for searches and writes. Both \
              indices lie in that cluster: between two clusters the route is a name or a proxy. Its filter and routing go \
              along."
            .to_owned(),
        attributes,
    }
}

pub(super) struct SearchAlias;

/// What an alias leads to: by index, how.
type Leads = Map<String, Value>;

fn index_at(route: &BlockRef, side: Side) -> Result<&str, StepError> {
    Ok(route.text(side.as_str())?)
}

fn leads(cluster: &Cluster, alias: &str) -> Result<Leads, StepError> {
    let found = cluster.maybe(&Ask::get(format!("/_alias/{}", encoded(alias))))?.unwrap_or(Value::Null);
    let found = found.as_object().into_iter().flatten();
    Ok(found
        .filter(|(_, index)| index["aliases"][alias].is_object())
        .map(|(name, index)| (name.clone(), index["aliases"][alias].clone()))
        .collect())
}

fn at(route: &BlockRef, leads: &Leads) -> Result<RouteAt, StepError> {
    let names: Vec<&str> = leads.keys().map(String::as_str).collect();
    Ok(match names.as_slice() {
        [] => RouteAt::Missing,
        [one] if *one == index_at(route, Side::Source)? => RouteAt::Side(Side::Source),
        [one] if *one == index_at(route, Side::Target)? => RouteAt::Side(Side::Target),
        others => RouteAt::Other(others.join(", ")),
    })
}

impl Route for SearchAlias {
    fn atomic(&self) -> bool {
        true
    }

    fn ttl_ms(&self, _: &BlockRef) -> u64 {
        0
    }

    fn declared_places(&self, route: &BlockRef) -> Vec<SystemPath> {
        let alias = route.text("alias").unwrap_or_default();
        let nodes = cluster::nodes(route).unwrap_or_default();
        let of = |url: &String| SystemPath::named(format!("the aliases of {}", server_address(url)), alias);
        nodes.iter().map(of).collect()
    }

    fn check(&self, route: &BlockRef) -> Vec<Finding> {
        let mut findings = http::check(CODE, route);
        let mut critical = |summary: String, remedy: &str| {
            findings.push(Finding {
                severity: Severity::Critical,
                code: CODE.to_owned(),
                summary,
                remedy: remedy.to_owned(),
            });
        };
        if let Err(error) = cluster::nodes(route) {
            critical(error.to_string(), error.remedy.as_deref().unwrap_or("correct the block"));
        }
        let text = |name: &str| route.text(name).unwrap_or_default();
        if text("source") == text("target") {
            critical(
                format!("source and target are the same index {:?}", text("source")),
                "name two indices",
            );
        }
        if ["source", "target"].iter().any(|side| text(side) == text("alias")) {
            critical(
                format!("{:?} is the alias and an index", text("alias")),
                "an alias cannot have the name of an index: give clients a name of its own",
            );
        }
        findings
    }

    fn observe(&self, route: &BlockRef, io: &dyn StepIo) -> Result<RouteAt, StepError> {
        at(route, &leads(&Cluster::of(route, io)?, route.text("alias")?)?)
    }

    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError> {
        let cluster = Cluster::of(route, io)?;
        let alias = route.text("alias")?;
        let leads = leads(&cluster, alias)?;
        let (from, to) = (index_at(route, side.other())?, index_at(route, side)?);
        if at(route, &leads)? == RouteAt::Side(side) && is_writable(leads.get(to)) {
            return Ok(());
        }
        strangers(route, alias, &leads)?;
        let send = |must_exist: bool| {
            let ask = Ask::change("POST", "/_aliases", Some(&swap(alias, from, to, &leads, must_exist)));
            cluster.answer(&ask).map(|answered| (ask, answered))
        };
        let (mut ask, mut answered) = send(true)?;
        // Older servers do not know the demand; the look that follows a set finds what it would have found.
        if matches!(&answered, Err(refusal) if refusal.status == 400 && refusal.reason.contains("must_exist"))
        {
            (ask, answered) = send(false)?;
        }
        match answered {
            Ok(answer) => cluster.is_acknowledged(&ask, &answer),
            // It was moved between the look and the swap: look again.
            Err(refusal) if refusal.is("aliases_not_found_exception") => {
                Err(StepError::transient(format!("{}: {refusal}", route.address)))
            }
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }

    /// What the alias has now is put again, which changes nothing and needs the same right.
    fn settable(&self, route: &BlockRef, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        let cluster = Cluster::of(route, io)?;
        let alias = route.text("alias")?;
        let leads = leads(&cluster, alias)?;
        strangers(route, alias, &leads)?;
        let both = [index_at(route, Side::Source)?.to_owned(), index_at(route, Side::Target)?.to_owned()];
        indices::settings_of(&cluster, &both)?;
        let Some((index, entry)) = leads.iter().next() else {
            return Ok(Some(format!("nothing is called {alias}, and both indices are there")));
        };
        let mut same = entry.as_object().cloned().unwrap_or_default();
        same.extend([("index".to_owned(), json!(index)), ("alias".to_owned(), json!(alias))]);
        cluster.acknowledged(&Ask::change(
            "POST",
            "/_aliases",
            Some(&json!({"actions": [{"add": same}]})),
        ))?;
        Ok(Some(format!("the cluster takes changes of alias {alias}")))
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        let text = |name: &str| route.text(name).unwrap_or_default();
        let (alias, from, to) = (text("alias"), text(side.other().as_str()), text(side.as_str()));
        let body = json!({"actions": [
            {"remove": {"index": from, "alias": alias}},
            {"add": {"index": to, "alias": alias, "is_write_index": true}}]});
        by_hand::curl(route, "POST", "/_aliases", Some(&body))
    }
}

/// Refuses an alias that leads to indices that the block does not name.
fn strangers(route: &BlockRef, alias: &str, leads: &Leads) -> Result<(), StepError> {
    let (source, target) = (index_at(route, Side::Source)?, index_at(route, Side::Target)?);
    match leads.keys().find(|name| *name != source && *name != target) {
        None => Ok(()),
        Some(other) => {
            Err(StepError::permanent(format!("{}: alias {alias:?} leads to {other:?}", route.address))
                .remedy("somebody else changed it: take that index out by hand, then run again"))
        }
    }
}

/// Whether an index takes the writes that come through the alias.
fn is_writable(entry: Option<&Value>) -> bool {
    entry.is_some_and(|entry| entry["is_write_index"] != false)
}

/// Both changes as one, which happens whole or not at all. What the alias has beside the index goes along.
fn swap(alias: &str, from: &str, to: &str, leads: &Leads, must_exist: bool) -> Value {
    let mut actions = Vec::new();
    if leads.contains_key(from) {
        let mut remove = json!({"index": from, "alias": alias});
        if must_exist {
            remove["must_exist"] = json!(true);
        }
        actions.push(json!({"remove": remove}));
    }
    let mut add = leads.get(from).or(leads.get(to)).and_then(Value::as_object).cloned().unwrap_or_default();
    add.extend([
        ("index".to_owned(), json!(to)),
        ("alias".to_owned(), json!(alias)),
        ("is_write_index".to_owned(), json!(true)),
    ]);
    actions.push(json!({"add": add}));
    json!({"actions": actions})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block;

    fn route(settings: &[(&str, Value)]) -> BlockRef {
        let mut all = vec![
            ("url", json!("http://h:9200")),
            ("alias", json!("books")),
            ("source", json!("books-1")),
            ("target", json!("books-2")),
        ];
        all.retain(|(name, _)| !settings.iter().any(|(n, _)| n == name));
        all.extend(settings.iter().cloned());
        block("route.search_alias.books", "search_alias", &all)
    }

    #[test]
    fn an_alias_on_other_indices_too_is_neither_side() {
        let at = |names: &[&str]| {
            let leads: Leads = names.iter().map(|n| ((*n).to_owned(), json!({}))).collect();
            at(&route(&[]), &leads).expect("told")
        };
        assert_eq!(
            [at(&["books-1"]), at(&["books-2"])],
            [RouteAt::Side(Side::Source), RouteAt::Side(Side::Target)]
        );
        assert_eq!(at(&[]), RouteAt::Missing);
        assert_eq!(at(&["books-1", "books-2"]), RouteAt::Other("books-1, books-2".to_owned()));
        assert_eq!(at(&["strange"]), RouteAt::Other("strange".to_owned()));
    }

    #[test]
    fn mistakes_are_found_before_anything_is_asked() {
        assert_eq!(SearchAlias.check(&route(&[])), []);
        assert_eq!(SearchAlias.check(&route(&[("target", json!("books-1"))])).len(), 1);
        assert_eq!(SearchAlias.check(&route(&[("target", json!("books"))])).len(), 1);
        assert_eq!(SearchAlias.check(&route(&[("url", json!("nonsense"))])).len(), 1);
    }

    #[test]
    fn by_hand_is_one_swap() {
        let line = SearchAlias.set_by_hand(&route(&[]), Side::Target);
        assert!(line.contains(r#"{"remove":{"alias":"books","index":"books-1"}}"#), "{line}");
        assert!(line.ends_with("http://h:9200/_aliases"), "{line}");
    }
}
