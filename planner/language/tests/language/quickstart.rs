//! The quickstart's spec, whole.

use proptest::prelude::{prop, proptest};

use crate::world::Spec;
use segue_contract::{Address, Side, VerifyLevel};
use segue_language::GateCondition;

pub(crate) const QUICKSTART: &str = r#"
source "directory" "old" {
  path = "old"
}
target "directory" "new" {
  path = "new"
}
route "symlink" "site" {
  path   = "live"                    # what the application follows
  source = "old"
  target = "new"
}
migration "site" {
  source = source.directory.old
  target = target.directory.new
  select {
    exclude = ["*.tmp", "cache/"]
  }
  verify {
    level = "full"
  }
}
cutover "site" {
  migrations = [migration.site]
  live       = "target"
  timeout    = "30s"
  gate "lag" {
    max = "2s"
  }
  quiesce "command" {
    stop  = ["./app", "pause"]
    start = ["./app", "resume"]
    probe = ["./app", "try-write"]   # must fail while quiesced
  }
  switch {
    routes = [route.symlink.site]
  }
  fallback {
    reverse       = true
    stale_writers = "report"         # a directory has no barrier of its own
  }
}
"#;

#[test]
fn the_quickstart_resolves_to_what_it_says() {
    let spec = Spec::new(QUICKSTART);
    let loaded = spec.load();
    assert_eq!(loaded.diagnostics, []);
    let desired = loaded.desired.unwrap();
    let dir = spec.dir.path();
    let old = &desired.endpoints[&Address::new("source.directory.old")];
    assert_eq!(old.path("path").unwrap(), dir.join("old"));
    assert_eq!((old.provider.as_str(), old.base_dir.as_path()), ("directory", dir));
    assert_eq!(desired.state_dir, dir.join(".segue"));
    let route = &desired.routes[&Address::new("route.symlink.site")].block;
    assert_eq!(
        (route.text("source").unwrap(), route.path("path").unwrap()),
        ("old", dir.join("live").as_path())
    );
    let migration = &desired.migrations[&Address::new("migration.site")];
    assert_eq!(migration.source, old.address);
    assert_eq!(migration.select.exclude, ["*.tmp", "cache/"]);
    assert_eq!((migration.verify.level, migration.verify.repair), (VerifyLevel::Full, false));
    assert_eq!((migration.sync_interval_ms, migration.verify.valid_for_ms), (30_000, 86_400_000));
    let cutover = &desired.cutovers[&Address::new("cutover.site")];
    assert_eq!(cutover.migrations, [Address::new("migration.site")]);
    assert_eq!(
        (cutover.live, cutover.finished, cutover.timeout_ms, cutover.freeze_ms),
        (Side::Target, false, 30_000, 50)
    );
    assert_eq!(cutover.gates[0].condition, GateCondition::Lag { max_ms: 2_000 });
    assert_eq!(cutover.quiesces[0].block.address.as_str(), "cutover.site.quiesce.command");
    assert_eq!(cutover.quiesces[0].block.words("stop").unwrap().unwrap(), ["./app", "pause"]);
    assert_eq!(cutover.quiesces[0].block.number("timeout").unwrap(), Some(30_000));
    assert_eq!(cutover.routes, [Address::new("route.symlink.site")]);
    assert!(cutover.fallback.reverse && cutover.fallback.report_stale_writers);
    let origin = &desired.origins[&Address::new("cutover.site")];
    assert_eq!(&loaded.sources[origin.file].text[origin.span.clone()], "cutover \"site\"");
}

#[test]
fn the_quickstart_is_formatted() {
    let formatted = segue_language::format(QUICKSTART.trim_start()).unwrap();
    assert_eq!(formatted, QUICKSTART.trim_start());
}

proptest! {
    /// Spans stay inside the texts, nothing panics, and no mutation is both refused and silent.
    #[test]
    fn a_damaged_quickstart_is_loaded_or_told(
        cuts in prop::collection::vec((0usize..1_200, 0usize..12, "[\"{}\\[\\]()$%<\n#=ü ]{0,3}"), 1..4)
    ) {
        let mut text = QUICKSTART.to_owned();
        for (at, len, with) in cuts {
            let place = |mut at: usize| {
                at = at.min(text.len());
                while !text.is_char_boundary(at) { at -= 1; }
                at
            };
            let (from, to) = (place(at), place(at + len));
            text.replace_range(from..to, &with);
        }
        let loaded = Spec::new(&text).load();
        assert_eq!(loaded.desired.is_none(), loaded.diagnostics.iter().any(|d| d.severity == segue_language::Severity::Error));
        for label in loaded.diagnostics.iter().flat_map(|d| &d.labels) {
            assert!(loaded.sources[label.span.file].text.get(label.span.range.clone()).is_some());
        }
        let _ = segue_language::format(&text);
    }
}
