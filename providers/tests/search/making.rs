//! Making an index at the target from the source's, with what is around it, and taking away what Segue made.

use segue_contract::{Direction, Side};
use segue_providers::engines::documents::Documents;
use segue_providers::search::SearchDocuments;
use serde_json::json;

use crate::world::{
    Index, Io, Server, call, compared, critical, elasticsearch, endpoint, job, opensearch, write_block,
};

#[test]
fn an_index_is_made_like_the_sources_and_served_as_that_one() {
    let (from, to) = (elasticsearch(), opensearch());
    let settings = json!({
        "index.number_of_shards": 3, "index.number_of_replicas": 1, "index.refresh_interval": "7s",
        "index.analysis.analyzer.mine.type": "custom", "index.analysis.analyzer.mine.tokenizer": "standard",
        "index.analysis.analyzer.mine.filter": ["lowercase"]});
    let mapping = json!({"dynamic": "strict", "properties": {"t": {"type": "text", "analyzer": "mine"}, "d": {"type": "date"}}});
    let books = from.index("made", &settings, &mapping);
    let made = Index { server: &to, name: format!("{}-new", books.name) };
    let (job, io) = (job(&books, &to, &made.name), Io::default());
    assert!(!SearchDocuments.exists(&job.target, &io).expect("asks"));
    SearchDocuments.make(&job, &io).expect("makes");
    SearchDocuments.make(&job, &io).expect("makes again");
    assert!(SearchDocuments.exists(&job.target, &io).expect("asks"));
    assert_eq!(io.codes(), Vec::<String>::new());
    let setting = |name: &str| made.setting(name);
    assert_eq!(
        [setting("index.number_of_replicas"), setting("index.refresh_interval")],
        [Some("0".into()), Some("-1".into())]
    );
    SearchDocuments.serve(&job, &io).expect("serves");
    SearchDocuments.serve(&job, &io).expect("serves again");
    assert_eq!(
        [setting("index.number_of_replicas"), setting("index.refresh_interval")],
        [Some("1".into()), Some("7s".into())]
    );
    assert_eq!(setting("index.number_of_shards").as_deref(), Some("3"));
    let mapped = to.must("GET", &made.path("/_mapping"), None);
    assert_eq!(mapped[&made.name]["mappings"], mapping);
    // What Segue made is no ground of a plan, and is not told as somebody's.
    let facts = endpoint(&job.target).observe(&job.target, &io).expect("observes");
    assert!(facts.settings.is_empty(), "{:?}", facts.settings);
    assert!(compared(&books, &to, &made.name).is_empty());
    SearchDocuments.remove(&job, &io).expect("removes");
    SearchDocuments.remove(&job, &io).expect("gone is fine");
    assert!(!SearchDocuments.exists(&job.target, &io).expect("asks"));
}

#[test]
fn documents_lie_in_the_shards_where_they_lay() {
    for (from, to) in [(elasticsearch(), opensearch()), (opensearch(), elasticsearch())] {
        let settings = json!({
            "index.number_of_shards": 4, "index.number_of_routing_shards": 24, "index.routing_partition_size": 3});
        let books = from.index("placed", &settings, &json!({"_routing": {"required": true}}));
        let made = Index { server: &to, name: format!("{}-new", books.name) };
        // The trial refuses no such index.
        let said = compared(&books, &to, &made.name);
        assert!(critical(&said).is_empty(), "{said:?}");
        let job = job(&books, &to, &made.name);
        SearchDocuments.make(&job, &Io::default()).expect("makes");
        assert_eq!(made.setting("index.routing_partition_size").as_deref(), Some("3"));
        for n in 0..60 {
            let path = format!("/_search_shards?routing=r{n}");
            let shards = |index: &Index<'_>| {
                let found = index.server.must("GET", &index.path(&path), None);
                let shards =
                    found["shards"].as_array().expect("shards").iter().map(|s| s[0]["shard"].clone());
                shards.collect::<Vec<_>>()
            };
            assert_eq!(shards(&books), shards(&made), "documents of routing r{n}");
        }
    }
}

#[test]
fn a_pipeline_that_would_change_what_is_carried_back_is_lifted_meanwhile() {
    let (from, to) = (elasticsearch(), opensearch());
    let pipeline = from.name("stamp").name.clone();
    let stamp = json!({"processors": [{"set": {"field": "stamped", "value": true}}]});
    from.must("PUT", &format!("/_ingest/pipeline/{pipeline}"), Some(&stamp));
    let runs = json!({"index.final_pipeline": pipeline});
    for by_opening in [true, false] {
        let books = from.index("stamped", &runs, &json!({}));
        let made = Index { server: &to, name: format!("{}-new", books.name) };
        let (mut job, io) = (job(&books, &to, &made.name), Io::default());
        SearchDocuments.make(&job, &io).expect("makes");
        job.direction = Direction::Reverse;
        for _ in 0..2 {
            assert_eq!(SearchDocuments.surround(&job, &io).expect("looks"), []);
            assert_eq!(books.setting("index.final_pipeline").as_deref(), Some("_none"));
        }
        if by_opening {
            write_block().open(&call(&job.source, Side::Source), &io).expect("opens");
        } else {
            job.direction = Direction::Forward;
            SearchDocuments.surround(&job, &io).expect("looks");
        }
        assert_eq!(books.setting("index.final_pipeline").as_deref(), Some(pipeline.as_str()));
    }
    // The next test's templates and indices know nothing of it.
    from.must("DELETE", &format!("/_ingest/pipeline/{pipeline}"), None);
}

#[test]
fn an_index_that_was_there_is_never_taken_away() {
    let (from, to) = (elasticsearch(), opensearch());
    let books = from.index("kept", &json!({}), &json!({}));
    let theirs = to.index("theirs", &json!({"index.refresh_interval": "3s"}), &json!({}));
    let (job, io) = (job(&books, &to, &theirs.name), Io::default());
    SearchDocuments.make(&job, &io).expect("is there");
    SearchDocuments.serve(&job, &io).expect("serves");
    assert_eq!(theirs.setting("index.refresh_interval").as_deref(), Some("3s"));
    SearchDocuments.remove(&job, &io).expect("stays");
    assert!(SearchDocuments.exists(&job.target, &io).expect("asks"));
    // Segue's was deleted, and somebody made another one of that name.
    let other = Index { server: &to, name: format!("{}-new", books.name) };
    let job = crate::world::job(&books, &to, &other.name);
    SearchDocuments.make(&job, &io).expect("makes");
    to.must("DELETE", &other.path(""), None);
    to.must("PUT", &other.path(""), None);
    SearchDocuments.remove(&job, &io).expect("stays");
    assert!(SearchDocuments.exists(&job.target, &io).expect("asks"));
}

#[test]
fn deletions_are_remembered_for_as_long_as_it_takes_and_the_old_value_comes_back() {
    for to in [opensearch(), elasticsearch()] {
        let from = elasticsearch();
        let books = from.index("gc", &json!({}), &json!({}));
        for before in [None, Some("2m")] {
            let theirs =
                to.index("gc", &before.map_or(json!({}), |v| json!({"index.gc_deletes": v})), &json!({}));
            let (job, io) = (job(&books, &to, &theirs.name), Io::default());
            SearchDocuments.remember(&job, &io).expect("remembers");
            SearchDocuments.remember(&job, &io).expect("remembers again");
            assert_eq!(theirs.setting("index.gc_deletes").as_deref(), Some("24h"));
            SearchDocuments.forget(&job, &io).expect("forgets");
            SearchDocuments.forget(&job, &io).expect("forgets again");
            assert_eq!(theirs.setting("index.gc_deletes").as_deref(), before);
        }
    }
}

/// What stands around an index: two pipelines of which one calls the other, an alias, templates of each kind.
struct Around<'a> {
    outer: String,
    inner: String,
    books: Index<'a>,
    servers: [&'a Server; 2],
}

impl<'a> Around<'a> {
    fn new(from: &'a Server, to: &'a Server) -> Self {
        let outer = from.name("clean").name.clone();
        let inner = format!("{outer}-inner");
        let pipeline = |name: &str, processor| {
            let body = json!({"description": "d", "processors": [processor]});
            from.must("PUT", &format!("/_ingest/pipeline/{name}"), Some(&body));
        };
        pipeline(&inner, json!({"lowercase": {"field": "t", "ignore_missing": true}}));
        pipeline(&outer, json!({"pipeline": {"name": inner}}));
        let mapping = json!({"properties": {"t": {"type": "keyword"}}});
        let books = from.index("around", &json!({"index.default_pipeline": outer}), &mapping);
        let around = Self { outer, inner, books, servers: [from, to] };
        let name = &around.books.name;
        let add = json!({"index": name, "alias": format!("{name}-alias"), "is_write_index": true});
        from.must("POST", "/_aliases", Some(&json!({"actions": [{"add": add}]})));
        let [part, template, legacy] = around.templates();
        let component = json!({"template": {"settings": {"refresh_interval": "9s"}}});
        from.must("PUT", &part, Some(&component));
        let composed = json!({
            "index_patterns": [format!("{name}*")], "composed_of": [format!("{name}-part")], "priority": 700});
        from.must("PUT", &template, Some(&composed));
        let old = json!({"index_patterns": [format!("{name}*")], "settings": {"number_of_shards": 2}});
        from.must("PUT", &legacy, Some(&old));
        around
    }

    /// The addresses of its templates.
    fn templates(&self) -> [String; 3] {
        let name = &self.books.name;
        [
            format!("/_component_template/{name}-part"),
            format!("/_index_template/{name}-t"),
            format!("/_template/{name}-l"),
        ]
    }
}

impl Drop for Around<'_> {
    fn drop(&mut self) {
        let [part, template, legacy] = self.templates();
        for server in self.servers {
            server.ask("DELETE", &self.books.path(""), None);
            for path in [&template, &part, &legacy] {
                server.ask("DELETE", path, None);
            }
            for name in [&self.outer, &self.inner] {
                server.ask("DELETE", &format!("/_ingest/pipeline/{name}"), None);
            }
        }
    }
}

#[test]
fn pipelines_templates_and_aliases_come_along_and_what_is_there_is_told() {
    let (from, to) = (elasticsearch(), opensearch());
    let around = Around::new(&from, &to);
    let made = Index { server: &to, name: around.books.name.clone() };
    let (job, io) = (job(&around.books, &to, &made.name), Io::default());
    // One pipeline is there already with another content.
    let other = json!({"processors": [{"uppercase": {"field": "t"}}]});
    to.must("PUT", &format!("/_ingest/pipeline/{}", around.inner), Some(&other));
    SearchDocuments.make(&job, &io).expect("makes");
    assert_eq!(io.codes(), ["SEARCH_DIFFERS"], "{:?}", io.found);
    SearchDocuments.make(&job, &io).expect("makes again");
    assert_eq!(io.codes(), ["SEARCH_DIFFERS", "SEARCH_DIFFERS"], "{:?}", io.found);
    assert_eq!(made.setting("index.default_pipeline"), Some(around.outer.clone()));
    to.must("GET", &format!("/_ingest/pipeline/{}", around.outer), None);
    let alias = format!("{}-alias", made.name);
    let there = to.must("GET", &format!("/_alias/{alias}"), None);
    assert_eq!(there[&made.name]["aliases"][&alias]["is_write_index"], json!(true));
    let [part, template, legacy] = around.templates();
    let there = to.must("GET", &part, None);
    assert!(there.to_string().contains("\"refresh_interval\":\"9s\""), "{there}");
    to.must("GET", &template, None);
    to.must("GET", &legacy, None);
}

#[test]
fn a_rehearsals_copy_lies_beside_and_has_no_aliases() {
    let (from, to) = (elasticsearch(), opensearch());
    let books = from.index("rehearsed", &json!({}), &json!({}));
    let alias = format!("{}-alias", books.name);
    from.must("PUT", &format!("/{}/_alias/{alias}", books.name), None);
    let target = to.block(Side::Target, &[]);
    let (scratch, said) = endpoint(&target).scratch(&target, "Ab12").expect("a place");
    assert_eq!(said.len(), 1);
    let io = Io::default();
    let facts = endpoint(&scratch).observe(&scratch, &io).expect("observes");
    assert!(!facts.exists && facts.units.is_empty(), "{facts:?}");
    assert!(endpoint(&scratch).provision(&scratch, &io).expect("nothing to make"));
    let mut job = job(&books, &to, &books.name);
    job.target = scratch.narrowed(vec![books.name.clone()]);
    let copy = Index { server: &to, name: format!("segue-ab12-{}", books.name) };
    SearchDocuments.make(&job, &io).expect("makes");
    assert!(copy.setting("index.uuid").is_some());
    assert_eq!(to.ask("GET", &format!("/_alias/{alias}"), None).0, 404);
    let facts = endpoint(&scratch).observe(&scratch, &io).expect("observes");
    assert_eq!((facts.exists, facts.units[0].name.as_str()), (true, books.name.as_str()));
    SearchDocuments.remove(&job, &io).expect("removes");
    assert!(!endpoint(&scratch).observe(&scratch, &io).expect("observes").exists);
}
