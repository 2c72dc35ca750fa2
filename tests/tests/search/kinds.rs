//! Deaths at chosen events: a run is killed before or after one event of each kind that a clean one writes, there and back, and
//! the same command brings it to its end with every write.

use std::collections::{BTreeMap, BTreeSet};

use segue_tests::lab::{KILL_KIND, kind_of};
use segue_tests::{Random, Running, rounds, say};

use crate::scene::{APPLY, PATIENCE, Scene, Terms};
use crate::servers::{Pair, Way, shared};

/// Words in an index: a load of several batches, and a short one.
const WORDS: usize = 150;

/// Something to wait for, and something to watch, so that their events are there.
fn scene(pair: Pair, name: &str) -> Scene {
    let watch = format!(
        "gate \"lag\" {{\n max = \"1h\"\n }}\n watch \"search_health\" {{\n url = \"{}\"\n for = \"600ms\"\n interval = \"200ms\"\n failures = 3\n }}",
        pair.target.url()
    );
    Scene::new(pair, name, WORDS, 2, &Terms { cutover: watch, ..Terms::default() })
}

/// An event at which to die.
#[derive(Clone, Debug)]
struct Death {
    kind: String,
    /// Which of that kind, from 1.
    number: u64,
    before: bool,
}

/// How many events of each kind the last command of a scratch directory wrote.
fn counted(scene: &Scene) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut run = 0;
    let dir = scene.scratch.at(".segue");
    segue_run::session::history(&dir, &mut |_, entry| {
        let kind = kind_of(&entry.event);
        if kind == "run_started" && run != entry.run {
            run = entry.run;
            // What came before the first run's start is its own: the state is bound.
            found.retain(|kind: &String, _| kind == "state_bound" && run == 1);
        }
        *found.entry(kind).or_insert(0) += 1;
    })
    .expect("a journal");
    found
}

/// One death a kind: in the short run a kind is an event's type, and a phase; in the long one also what a step does.
fn chosen(counts: &BTreeMap<String, u64>, random: &mut Random) -> Vec<Death> {
    let mut groups: BTreeMap<&str, Vec<(&String, u64)>> = BTreeMap::new();
    for (kind, count) in counts {
        groups.entry(if rounds(0, 1) == 1 { kind } else { short(kind) }).or_default().push((kind, *count));
    }
    let one = |group: &Vec<(&String, u64)>, random: &mut Random| {
        let at = usize::try_from(random.below(group.len() as u64)).unwrap_or_default();
        let (kind, count) = group[at];
        Death { kind: kind.clone(), number: 1 + random.below(count), before: random.below(2) == 0 }
    };
    groups.values().map(|group| one(group, random)).collect()
}

/// The deaths of the way there and of the way back. In the long run each has all of its kinds. In the short one each kind is
/// killed once: at one of the two pairs, and what both ways have on one of them in turn.
fn dealt(
    there: &BTreeMap<String, u64>,
    back: &BTreeMap<String, u64>,
    share: usize,
    random: &mut Random,
) -> (Vec<Death>, Vec<Death>) {
    let (mut on_there, mut on_back) = (chosen(there, random), chosen(back, random));
    if rounds(0, 1) == 0 {
        let known: BTreeSet<String> = on_there.iter().map(|death| short(&death.kind).to_owned()).collect();
        let both: BTreeSet<String> = on_back
            .iter()
            .map(|death| short(&death.kind).to_owned())
            .filter(|kind| known.contains(kind))
            .collect();
        let turns: BTreeMap<&String, usize> = both.iter().zip(0..).collect();
        let turn = |death: &Death| turns.get(&short(&death.kind).to_owned()).copied();
        on_there.retain(|death| turn(death).is_none_or(|at| at / 2 % 2 == 0));
        on_back.retain(|death| turn(death).is_none_or(|at| at / 2 % 2 == 1));
        for leg in [&mut on_there, &mut on_back] {
            let mine = leg.iter().skip(share).step_by(2).cloned().collect();
            *leg = mine;
        }
    }
    (on_there, on_back)
}

/// What counts as a kind in the short run: an event's type, and a phase.
fn short(kind: &str) -> &str {
    if kind.starts_with("phase_reached") { kind } else { kind.split(' ').next().unwrap_or(kind) }
}

/// Runs a leg that is to die, and resumes it. Returns whether it died: passes go on until they stop shrinking, and a run may
/// need fewer than the clean one.
fn dies_and_resumes(scene: &Scene, death: &Death, live: &str) -> bool {
    let Death { kind, number, before } = death;
    let when = if *before { "before" } else { "after" };
    let at = format!("{when}:{kind}:{number}");
    scene.wants(live);
    let run = Running::program_with(
        &scene.scratch,
        segue_tests::program(env!("CARGO_BIN_EXE_segue-mortal")),
        &APPLY,
        &[(KILL_KIND, &at)],
    );
    let ended = run.wait_for(PATIENCE);
    let died = ended.code.is_none();
    if !died {
        ended.expect_code(0);
    }
    say(&format!("  {} {live}: {at}{}", scene.name, if died { "" } else { " (did not come)" }));
    let resumed = scene.apply();
    assert_eq!(resumed.code, Some(0), "killed {at} on the way to the {live}: {}", resumed.all());
    scene.serves(live);
    died
}

fn killed_once_at_each_kind(way: Way, name: &str, share: usize) {
    let servers = shared();
    let mut random = Random::seeded(name);
    let clean = scene(servers.pair(way), &format!("{name}-clean"));
    let mut counts = Vec::new();
    for live in ["target", "source"] {
        clean.wants(live);
        clean.apply().expect_code(0);
        counts.push(counted(&clean));
    }
    let (mut there, mut back) = dealt(&counts[0], &counts[1], share, &mut random);
    let (mut deaths, mut number) = (0, 0);
    let mut missed = Vec::new();
    while !there.is_empty() || !back.is_empty() {
        number += 1;
        let scene = scene(servers.pair(way), &format!("{name}-{number}"));
        let writers = scene.writers("kinds", 0, random.number());
        writers.until_more(10);
        for (live, leg) in [("target", &mut there), ("source", &mut back)] {
            let Some(death) = leg.pop() else {
                scene.wants(live);
                scene.apply().expect_code(0);
                continue;
            };
            match dies_and_resumes(&scene, &death, live) {
                true => deaths += 1,
                // The first of its kind comes always.
                false if death.number > 1 => leg.insert(0, Death { number: 1, ..death }),
                false => missed.push(death),
            }
            writers.until_more(10);
        }
        let log = writers.stop();
        scene.serves("source");
        scene.judged("source", &[&log]);
    }
    say(&format!("{name}: killed at {deaths} events, {number} indices, nothing lost"));
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn elasticsearch_to_opensearch_killed_once_at_each_kind_of_event() {
    killed_once_at_each_kind(Way::ToOpenSearch, "kinds-to-os", 0);
}

#[test]
fn opensearch_to_elasticsearch_killed_once_at_each_kind_of_event() {
    killed_once_at_each_kind(Way::ToElasticsearch, "kinds-to-es", 1);
}
