//! Faults on the way and deaths of servers: whatever is cut, refused, lost or started again, the run goes on or the same command
//! does, and nothing is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use segue_tests::servers::{Deed, Faulty, Passing};
use segue_tests::{Random, Running, say};
use serde_json::Value;

use crate::scene::{PATIENCE, Scene, Terms, told};
use crate::servers::{Way, alone, shared};

/// How often a run that a fault ended is started again.
const RESUMES: usize = 8;

/// How many bulks a storm refuses. Each refusal doubles the wait before the next try.
const STORM: usize = 7;

/// A place where a request waits until the test lets it go.
#[derive(Clone, Default)]
pub(crate) struct Hold(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Hold {
    /// Called by the script: is there now, and waits.
    pub(crate) fn wait(&self) {
        let (lock, told) = &*self.0;
        let mut state = lock.lock().expect("not poisoned");
        state.0 = true;
        told.notify_all();
        while !state.1 {
            state = told.wait(state).expect("not poisoned");
        }
    }

    /// Called by the test: returns when somebody waits.
    pub(crate) fn until_there(&self, apply: &mut Running) {
        segue_tests::wait_long("a request is held", PATIENCE, || {
            assert!(!apply.ended(), "it ended before:\n{}", apply.output());
            self.0.0.lock().expect("not poisoned").0
        });
    }

    /// Lets everybody go, also who comes later.
    pub(crate) fn release(&self) {
        let (lock, told) = &*self.0;
        lock.lock().expect("not poisoned").1 = true;
        told.notify_all();
    }
}

/// A way on which the `nth` request with this in its path is held.
pub(crate) fn held(url: &str, part: &'static str, nth: usize) -> (Faulty, Hold) {
    let (hold, count) = (Hold::default(), AtomicUsize::new(0));
    let here = hold.clone();
    let front = Faulty::new(url, move |asked| {
        if asked.path.contains(part) && count.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            here.wait();
        }
        Deed::Pass
    });
    (front, hold)
}

/// Starts again what a fault ended, until it has ended well. Returns how often.
fn resumed(scene: &Scene) -> usize {
    for resumes in 0..RESUMES {
        let ran = scene.apply();
        if ran.code == Some(0) {
            return resumes;
        }
        // A clear end: by the table of exit codes, with what happened and what to do next.
        assert!(matches!(ran.code, Some(1 | 3 | 5)), "{}", ran.all());
        assert!(ran.stderr.contains("error: ") && ran.all().contains("next: "), "{}", ran.all());
        say(&format!(
            "  exit {:?}: {}",
            ran.code,
            ran.stderr.lines().find(|l| l.starts_with("error")).unwrap_or("")
        ));
        let _ = scene.segue(&["unhold", "cutover.site"]);
    }
    scene.apply().expect_code(0);
    RESUMES
}

/// One request in so many meets a fault, of those that a script knows.
fn one_in(
    often: u64,
    seed: u64,
    counts: &Arc<Mutex<BTreeMap<String, u64>>>,
) -> impl Fn(&Passing) -> Deed + use<> {
    let (drawn, counts) = (AtomicU64::new(seed), Arc::clone(counts));
    move |asked| {
        let mut random = Random::from(drawn.fetch_add(0x5851_f42d_4c95_7f2d, Ordering::SeqCst));
        let is_bulk = asked.path.contains("/_bulk");
        let is_read =
            ["/_search", "/_mget", "/_stats", "/_count"].iter().any(|part| asked.path.contains(part));
        if random.below(often) != 0 || !(is_bulk || is_read) {
            return Deed::Pass;
        }
        let deed = match (is_bulk, random.below(6)) {
            (true, 0) => Deed::HalfOfBulk,
            (_, 0 | 1) => Deed::Refuse(429),
            (_, 2) => Deed::Refuse(503),
            (_, 3) => Deed::Reset,
            (_, 4) => Deed::NoAnswer,
            _ => Deed::CutShort,
        };
        *counts.lock().expect("not poisoned").entry(format!("{deed:?}")).or_insert(0) += 1;
        deed
    }
}

#[test]
fn resets_refusals_half_answers_and_half_bulks_lose_nothing_there_and_back() {
    let (name, way) = ("faulty", Way::ToOpenSearch);
    let servers = shared();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let counts = Arc::default();
    let source = Faulty::new(pair.source.url(), one_in(10, random.number(), &counts));
    let target = Faulty::new(pair.target.url(), one_in(4, random.number(), &counts));
    let terms = Terms { source_url: Some(source.url()), target_url: Some(target.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 1500, 3, &terms);
    let writers = scene.writers("faulty", 0, random.number());
    let mut resumes = 0;
    for live in ["target", "source"] {
        scene.wants(live);
        resumes += resumed(&scene);
        writers.until_more(30);
        scene.serves(live);
    }
    let log = writers.stop();
    told(name, &log, &scene.judged("source", &[&log]));
    let counts = counts.lock().expect("not poisoned").clone();
    say(&format!("{name}: {counts:?}, {resumes} resumes"));
    assert!(counts.values().sum::<u64>() > 10, "next to no fault: {counts:?}");
}

#[test]
fn an_index_that_is_deleted_while_a_cluster_is_looked_at_changes_no_plan() {
    let (name, way) = ("fleeting", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let (client, gone) = (pair.source.client(), format!("{name}-2"));
    let deleted = Arc::new(AtomicUsize::new(0));
    let (there, seen) = (gone.clone(), Arc::clone(&deleted));
    // After the cluster has named its indices, and before it is asked for their mappings.
    let source = Faulty::new(pair.source.url(), move |asked| {
        let about_it = asked.path.contains("/_mapping") && asked.path.contains(&there);
        if about_it && client.ask("DELETE", &format!("/{there}"), None).is_ok_and(|reply| reply.is_good()) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Deed::Pass
    });
    let include = Some(format!("{name}-*"));
    let terms = Terms { source_url: Some(source.url()), include, ..Terms::default() };
    let scene = Scene::new(pair, name, 50, 1, &terms);
    // With the plan's hash.
    let planned = || {
        let said = scene.segue(&["plan"]).expect_code(0).stdout;
        said.lines().find(|line| line.contains("steps to do")).map(str::to_owned).expect("a plan")
    };
    let before = planned();
    scene.source().make_index(&gone, 1, &Value::Null);
    assert_eq!(planned(), before);
    assert_eq!(deleted.load(Ordering::SeqCst), 1, "it was deleted at another time");
}

#[test]
fn a_storm_of_429_is_waited_out() {
    let (name, way) = ("storm", Way::ToElasticsearch);
    let servers = shared();
    let pair = servers.pair(way);
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    // Every bulk of the beginning, whoever sends it.
    let target = Faulty::new(pair.target.url(), move |asked| {
        let storms = asked.path.contains("/_bulk") && counted.load(Ordering::SeqCst) < STORM;
        if !storms {
            return Deed::Pass;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Deed::Refuse(429)
    });
    let scene = Scene::new(pair, name, 600, 2, &Terms { target_url: Some(target.url()), ..Terms::default() });
    scene.apply().expect_code(0);
    assert!(refused.load(Ordering::SeqCst) >= STORM);
    scene.serves("target");
    scene.judged("target", &[]);
}

#[test]
fn a_source_that_dies_in_mid_load_and_a_target_that_dies_in_mid_pass_come_back_to_every_write() {
    let (name, way) = ("servers-die", Way::ToOpenSearch);
    let mut servers = alone();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let (source, load) = held(pair.source.url(), "/_search", 3);
    let (target, pass) = held(pair.target.url(), "/_bulk", 8);
    let terms = Terms { source_url: Some(source.url()), target_url: Some(target.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 1500, 5, &terms);
    let writers = scene.writers("die", 0, random.number());
    writers.until_more(50);

    let mut apply = scene.start();
    load.until_there(&mut apply);
    servers.elasticsearch.kill();
    load.release();
    servers.elasticsearch.restart();
    writers.until_more(20);
    pass.until_there(&mut apply);
    say(&format!("  {name}: {}", apply.output().lines().last().unwrap_or_default()));
    servers.opensearch.kill();
    pass.release();
    servers.opensearch.restart();
    let ran = apply.wait_for(PATIENCE);
    say(&format!("  {name}: exit {:?}", ran.code));
    let resumes = if ran.code == Some(0) { 0 } else { resumed(&scene) };
    writers.until_more(50);
    let log = writers.stop();
    scene.serves("target");
    told(&format!("{name}, {resumes} resumes"), &log, &scene.judged("target", &[&log]));
}
