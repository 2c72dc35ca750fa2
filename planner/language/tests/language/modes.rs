//! `load { mode }`: one of those that the pair's engine has, with what belongs to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use segue_contract::LoadMode;
use segue_language::core_blocks;

use crate::world::{Spec, codes, registry};

fn spec(load: &str) -> String {
    format!(
        "source \"search\" \"old\" {{\n  url = \"a\"\n}}\ntarget \"search\" \"new\" {{\n  url = \"b\"\n}}\n\
         migration \"m\" {{\n  source = source.search.old\n  target = target.search.new\n  load {{\n{load}\n  }}\n}}\n"
    )
}

fn mode(load: &str) -> LoadMode {
    let desired = Spec::new(&spec(load)).load().desired.unwrap();
    desired.migrations.values().next().unwrap().load.mode.clone()
}

#[test]
fn a_mode_comes_with_its_own_settings_and_copying_is_the_default() {
    assert!(mode("parallelism = 2").is_copy());
    assert!(mode("mode = \"copy\"").is_copy());
    let snapshot = mode("mode = \"snapshot\"\nlocation = \"/mnt\"");
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.config.plain("location").unwrap(), "/mnt");
    assert_eq!(snapshot.config.iter().count(), 1);
    assert_eq!(mode("mode = \"reindex\"").config.iter().count(), 0);
}

#[test]
fn a_mode_that_the_engine_does_not_have_is_told_at_its_place_with_those_that_it_has() {
    let said = Spec::new(&spec("mode = \"reindx\"")).problems();
    assert!(said.contains("SPEC_UNKNOWN_MODE"), "{said}");
    assert!(said.contains("nothing is loaded from search to search in mode \"reindx\""), "{said}");
    assert!(said.contains("did you mean \"reindex\"? The modes are copy, reindex, snapshot"), "{said}");
    assert!(said.contains("main.segue.hcl:11 `\"reindx\"`"), "{said}");
    let directories = "source \"directory\" \"s\" {\n  path = \"s\"\n}\ntarget \"directory\" \"t\" {\n  path = \"t\"\n}\n\
        migration \"m\" {\n  source = source.directory.s\n  target = target.directory.t\n  load {\n    mode = \"reindex\"\n  }\n}\n";
    // Nothing moves directories here: the plan tells that.
    assert!(codes(directories).is_empty());
}

#[test]
fn what_a_mode_needs_has_to_be_there_and_what_is_another_ones_may_not() {
    for (load, wanted) in [
        ("mode = \"snapshot\"", &["SPEC_MISSING_ARGUMENT"][..]),
        ("mode = \"reindex\"\nlocation = \"/mnt\"", &["SPEC_UNKNOWN_ARGUMENT"]),
        ("location = \"/mnt\"", &["SPEC_UNKNOWN_ARGUMENT"]),
        ("mode = \"snapshot\"\nlocation = 3", &["SPEC_WRONG_TYPE"]),
        ("mode = 3", &["SPEC_WRONG_TYPE"]),
        ("mod = \"reindex\"", &["SPEC_UNKNOWN_ARGUMENT"]),
    ] {
        assert_eq!(codes(&spec(load)), wanted, "{load}");
    }
    let said = Spec::new(&spec("location = \"/mnt\"")).problems();
    assert!(said.contains("`location` has no meaning with mode \"copy\""), "{said}");
    assert!(said.contains("take it out, or set mode to snapshot"), "{said}");
}

#[test]
fn the_language_shows_each_mode_with_what_it_is_for() {
    let shapes = core_blocks(&registry());
    let migration = shapes.iter().find(|s| s.keyword == "migration").unwrap();
    let load = &migration.body.block("load").unwrap().body;
    let doc = |name: &str| load.attribute(name).unwrap().doc.clone();
    assert!(doc("mode").contains("\"reindex\": For tests."), "{}", doc("mode"));
    assert_eq!(doc("location"), "Where. (mode snapshot)");
}
