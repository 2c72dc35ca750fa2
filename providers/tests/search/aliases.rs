//! The route by an alias: swapped at one instant, observed, its filter kept.

use segue_contract::{BlockRef, Route, RouteAt, Side};
use serde_json::json;

use crate::world::{Index, Io, Server, block, elasticsearch, opensearch, registry};

fn route(
    server: &Server,
    alias: &str,
    source: &Index<'_>,
    target: &Index<'_>,
) -> (BlockRef, std::sync::Arc<dyn Route>) {
    let block = block(
        "route.search_alias.books",
        "search_alias",
        &[
            ("url", json!(server.url)),
            ("alias", json!(alias)),
            ("source", json!(source.name)),
            ("target", json!(target.name)),
        ],
    );
    let route = registry().route(&block).expect("offered").clone();
    (block, route)
}

#[test]
fn an_alias_is_moved_whole_with_its_filter_and_writes_follow() {
    for server in [opensearch(), elasticsearch()] {
        let (old, new) =
            (server.index("alias", &json!({}), &json!({})), server.index("alias", &json!({}), &json!({})));
        let alias = server.name("books").name.clone();
        let (block, route) = route(&server, &alias, &old, &new);
        let io = Io::default();
        assert_eq!(route.check(&block), []);
        assert!(route.atomic() && route.ttl_ms(&block) == 0);
        assert_eq!(route.observe(&block, &io).expect("observes"), RouteAt::Missing);
        let add =
            json!({"actions": [{"add": {"index": old.name, "alias": alias, "filter": {"term": {"a": 1}}}}]});
        server.must("POST", "/_aliases", Some(&add));
        for side in [Side::Source, Side::Target, Side::Target, Side::Source, Side::Target] {
            route.set(&block, side, &io).expect("sets");
            assert_eq!(route.observe(&block, &io).expect("observes"), RouteAt::Side(side));
        }
        let leads = server.must("GET", &format!("/_alias/{alias}"), None);
        assert!(route.settable(&block, &io).expect("could be set").is_some());
        assert_eq!(server.must("GET", &format!("/_alias/{alias}"), None), leads, "nothing was changed");
        assert_eq!(leads[&new.name]["aliases"][&alias]["filter"], json!({"term": {"a": 1}}));
        server.must("PUT", &format!("/{alias}/_doc/1"), Some(&json!({"a": 1})));
        assert_eq!(server.ask("GET", &new.path("/_doc/1"), None).0, 200);
        let typed = route.set_by_hand(&block, Side::Source);
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("{typed} >/dev/null 2>&1")])
            .status()
            .expect("sh");
        assert!(status.success(), "{typed}");
        assert_eq!(route.observe(&block, &io).expect("observes"), RouteAt::Side(Side::Source));
    }
}

#[test]
fn an_alias_that_somebody_led_elsewhere_is_told_and_not_touched() {
    for server in [opensearch(), elasticsearch()] {
        let index = |_| server.index("alias", &json!({}), &json!({}));
        let [old, new, strange] = [0, 1, 2].map(index);
        let alias = server.name("moved").name.clone();
        let (block, route) = route(&server, &alias, &old, &new);
        let io = Io::default();
        let lead = |index: &Index<'_>| {
            let add = json!({"actions": [{"add": {"index": index.name, "alias": alias}}]});
            server.must("POST", "/_aliases", Some(&add));
        };
        lead(&strange);
        assert_eq!(route.observe(&block, &io).expect("observes"), RouteAt::Other(strange.name.clone()));
        assert!(route.settable(&block, &io).is_err());
        let error = route.set(&block, Side::Target, &io).expect_err("not touched");
        assert!(error.to_string().contains(&strange.name), "{error}");
        lead(&old);
        assert!(matches!(route.observe(&block, &io), Ok(RouteAt::Other(_))));
        server.must("DELETE", &format!("/{}/_alias/{alias}", strange.name), None);
        lead(&new);
        // Both sides, and nobody else: the swap puts that right.
        assert!(matches!(route.observe(&block, &io), Ok(RouteAt::Other(_))));
        route.set(&block, Side::Target, &io).expect("sets");
        assert_eq!(route.observe(&block, &io).expect("observes"), RouteAt::Side(Side::Target));
    }
}
