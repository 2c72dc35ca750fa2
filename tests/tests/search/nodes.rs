//! Two nodes, of which the one with every primary is killed while clients write and Segue reads.

use segue_tests::servers::writer::{Door, Workload, Writers};
use segue_tests::servers::{Cluster, Version, wordnet};
use segue_tests::{Random, Running, Scratch};

use crate::scene::{APPLY, PATIENCE, lead, led, told, untouched};
use crate::servers::{PARKED, alone, park};

const NAME: &str = "two-nodes";
const INDEX: &str = "two-nodes-1";
const WORDS: usize = 1500;

fn spec(cluster: &Cluster, target: &str) -> String {
    let (first, second) = (cluster.first.url(), cluster.second.url());
    format!(
        r#"source "elasticsearch" "old" {{
  urls    = ["{second}", "{first}"]
  indices = ["{INDEX}"]
}}
target "opensearch" "new" {{
  url     = "{target}"
  indices = ["{INDEX}"]
}}
route "search_alias" "at_old" {{
  urls   = ["{second}", "{first}"]
  alias  = "{NAME}"
  source = "{INDEX}"
  target = "{PARKED}"
}}
route "search_alias" "at_new" {{
  url    = "{target}"
  alias  = "{NAME}"
  source = "{PARKED}"
  target = "{INDEX}"
}}
migration "site" {{
  source = source.elasticsearch.old
  target = target.opensearch.new
  select {{
    include = ["{INDEX}"]
  }}
  sync {{
    interval = "1s"
  }}
  verify {{
    level = "full"
  }}
}}
cutover "site" {{
  migrations = [migration.site]
  live       = "source"
  timeout    = "5m"
  quiesce "write_block" {{}}
  switch {{
    routes = [route.search_alias.at_old, route.search_alias.at_new]
  }}
  fallback {{
    reverse       = true
    stale_writers = "report"
  }}
}}
"#
    )
}

#[test]
fn a_killed_primary_loses_no_acknowledged_write() {
    let servers = alone();
    let mut cluster = Cluster::of_two(Version::Elasticsearch7_10);
    let mut random = Random::seeded(NAME);
    let (source, target) = (cluster.client(), servers.opensearch.client());
    cluster.index_with_primaries_on_second(INDEX, 3);
    let properties = wordnet::properties();
    let words: Vec<_> = wordnet::synsets().take(WORDS).collect();
    source.put(&format!("/{INDEX}/_mapping"), &serde_json::json!({ "properties": properties }));
    source.bulk(INDEX, words.iter().map(|(id, word)| (id.as_str(), word)));
    park(&cluster.first);
    lead(&source, NAME, INDEX);
    lead(&target, NAME, PARKED);
    let scratch = Scratch::of_spec(&spec(&cluster, servers.opensearch.url()), &[]);

    let (here, there) = (source.clone(), target.clone());
    let door =
        Door::asked(move || if led(&there, NAME) == [INDEX] { there.clone() } else { here.clone() }, NAME)
            .require_alias();
    let seeds = words.iter().take(100).map(|(id, _)| id.clone()).collect();
    let workload = Workload {
        prefix: "live".to_owned(),
        seeds,
        routing: true,
        own_keys: 60,
        ..Workload::new(door, random.number())
    };
    let on_their_way = workload.writers as u64;
    let writers = Writers::start(workload);
    writers.until_more(100);
    scratch.segue(&APPLY).expect_code(0);
    writers.until_more(100);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says_within("sync: started", PATIENCE);
    cluster.kill_second(INDEX);
    // Another primary has another term: the run either goes on with it, or ends and is begun again.
    let ended = apply.wait_for(PATIENCE);
    if ended.code != Some(0) {
        scratch.segue(&["unhold", "cutover.site"]);
        scratch.segue(&APPLY).expect_code(0);
    }
    writers.until_more(100);
    let log = writers.stop();
    assert_eq!(scratch.serves(), "target");
    let documents = target.documents(INDEX);
    let verdict = log.judge_documents(&documents);
    verdict.expect_clean_but_repeated(on_their_way);
    untouched(&documents, &[&log], words.into_iter().collect(), "target");
    told(NAME, &log, &verdict);
    assert!(log.acknowledged_at(target.base()) > 0 && log.acknowledged_at(source.base()) >= 200);
}
