//! `mode = "parallel"`: nothing that clients wrote is overwritten.

use segue_contract::{Direction, ErrorClass, UnitJob, VerifyLevel};
use serde_json::{Value, json};

use super::{Step, carried, differing, engine, filled, in_mode, load, pass, verify};
use crate::world::{Index, elasticsearch, job, opensearch};

fn back_and_away(job: &UnitJob, (source, target): (&Index<'_>, &Index<'_>), step: &Step<'_>) {
    // On the way back everything that clients wrote at the target since the load began is looked at.
    target.must_put("after", &json!({"n": 1}));
    let back = UnitJob { direction: Direction::Reverse, ..job.clone() };
    let back = pass(&back, step);
    assert_eq!(source.server.must("GET", &source.path("/_doc/after"), None)["_source"]["n"], 1);
    assert_eq!(differing(&verify(&back, step)), []);
    // Abandoned, nothing is taken away: nobody can tell whose it is.
    let count = |index: &Index<'_>| index.server.must("GET", &index.path("/_count"), None)["count"].clone();
    let before = count(target);
    engine(job).release(job, false, step).expect("releases");
    assert_eq!(count(target), before);
}

#[test]
fn beside_clients_that_write_to_both_sides_only_what_is_missing_is_added() {
    for (from, to) in [(elasticsearch(), opensearch()), (opensearch(), elasticsearch())] {
        let source = filled(&from, "both", 2, 3_000);
        let target = to.index(
            "both",
            &json!({}),
            &json!({"properties": {"n": {"type": "long"}, "t": {"type": "keyword"}}}),
        );
        let both = |id: &str, body: &Value| {
            target.must_put(id, body);
            source.must_put(id, body);
        };
        both("d1", &json!({"n": -1}));
        // Written at the target alone, or later there: it stays, whatever the source has.
        target.must_put("d2", &json!({"n": "22"}));
        target.must_put("own", &json!({"n": 5}));
        let job = in_mode(job(&source, &to, &target.name), "parallel", &[]);
        let step = Step::new().began(|| {
            both("while", &json!({"n": 8}));
            // Deleted at the target before it arrives there, and not yet at the source: it does not come back.
            assert_eq!(to.ask("DELETE", &target.path("/_doc/d7"), None).0, 404);
            both("d8", &json!({"n": 1}));
            both("d8", &json!({"n": 2}));
        });
        let report = load(&job, &step).expect("loads");
        let mut job = carried(&job, &report);
        let there =
            |id: &str| to.ask("GET", &target.path(&format!("/_doc/{id}")), None).1["_source"]["n"].clone();
        assert_eq!((there("d2"), there("own"), there("d1")), (json!("22"), json!(5), json!(-1)));
        assert_eq!(
            (there("d7"), there("d8"), there("while"), there("d9")),
            (Value::Null, json!(2), json!(8), json!(9))
        );
        let found = verify(&job, &step);
        let mut differ = differing(&found);
        differ.sort_unstable();
        assert_eq!(differ, [("d2", "content"), ("d7", "missing at target"), ("own", "extra at target")]);

        // The client ends what it was about: then both sides are equal, by what it wrote and not by Segue.
        source.must_put("d2", &json!({"n": "22"}));
        source.must_put("own", &json!({"n": 5}));
        from.must("DELETE", &source.path("/_doc/d7"), None);
        // Of what Segue added, what is gone at the source goes.
        from.must("DELETE", &source.path("/_doc/d10"), None);
        both("later", &json!({"n": 9}));
        for _ in 0..2 {
            job = pass(&job, &step);
            assert_eq!(differing(&verify(&job, &step)), []);
        }
        assert_eq!(there("d10"), Value::Null);
        assert_eq!(engine(&job).stale(&job, &step).expect("looks").total, 0, "clients are no strangers");
        assert_eq!(engine(&job).drift(&job, VerifyLevel::Count, &step).expect("looks").drifted_total, 0);

        back_and_away(&job, (&source, &target), &step);
    }
}

#[test]
fn a_back_fill_that_dies_is_gone_on_with() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "back-fill", 2, 12_000);
    let target = to.index("back-fill", &json!({}), &json!({}));
    let job = in_mode(job(&source, &to, &target.name), "parallel", &[]);
    let step = Step::new();
    step.dying(true);
    assert_eq!(load(&job, &step).expect_err("dies").class, ErrorClass::Cancelled);
    target.must_put("d11999", &json!({"n": -1}));
    source.must_put("d11999", &json!({"n": -1}));
    step.dying(false);
    let job = carried(&job, &load(&job, &step).expect("loads"));
    let job = pass(&job, &step);
    assert_eq!(differing(&verify(&job, &step)), []);
}
