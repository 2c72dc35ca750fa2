//! The starter spec that `segue init` writes: what must be filled in, and what is worth knowing, in place.

use segue_contract::{AttributeSchema, AttributeType, BlockKind, Registry};

/// The text for a pair of systems.
pub(crate) fn text(registry: &Registry, source: &str, target: &str) -> String {
    let has = |kind, name: &str| registry.find_schema(kind, name).is_some();
    let symlink = has(BlockKind::Route, "symlink");
    let mut text = String::from(
        "# What is moved, where to, and when clients follow. `segue plan` shows what this leads to;\n\
         # nothing is touched before `segue apply`.\n\n",
    );
    text.push_str(&block(registry, BlockKind::Source, source, "old"));
    text.push_str(&block(registry, BlockKind::Target, target, "new"));
    if symlink {
        text.push_str("# What clients follow. Both sides of it are named, so that going back is as easy.\n");
        text.push_str(&block(registry, BlockKind::Route, "symlink", "site"));
    }
    text.push_str(&format!(
        "migration \"site\" {{\n  source = source.{source}.old\n  target = target.{target}.new\n\n  \
         # select {{\n  #   exclude = [\"*.tmp\", \"cache/\"]\n  # }}\n  \
         verify {{\n    level = \"full\" # count | sampled | full\n  }}\n}}\n\n"
    ));
    text.push_str(&cutover(registry, symlink));
    segue_language::format(&text).unwrap_or(text)
}

fn cutover(registry: &Registry, symlink: bool) -> String {
    let mut text = String::from(
        "cutover \"site\" {\n  migrations = [migration.site]\n\n  \
         # Which side serves. Write \"target\" when you are ready to switch; back to \"source\" switches back.\n  \
         live = \"source\"\n\n  \
         # Not through within this: abort, the side that served opens first.\n  timeout = \"2m\"\n\n  \
         gate \"lag\" {\n    max = \"10s\"\n  }\n\n",
    );
    if registry.find_schema(BlockKind::Quiesce, "command").is_some() {
        text.push_str(
            "  # How writes are stopped, started and tried. The probe must fail while they are stopped.\n  \
             quiesce \"command\" {\n    stop = [\"./app\", \"stop\"]\n    start = [\"./app\", \"start\"]\n    \
             probe = [\"./app\", \"try-write\"]\n  }\n\n",
        );
    }
    if symlink {
        text.push_str("  switch {\n    routes = [route.symlink.site]\n  }\n\n");
    }
    text.push_str(
        "  fallback {\n    reverse = true # keep the old side fresh: going back loses nothing\n    \
         stale_writers = \"report\" # what reaches the old side past Segue is found and listed\n    \
         retain = \"14d\"\n  }\n}\n",
    );
    text
}

fn block(registry: &Registry, kind: BlockKind, name: &str, label: &str) -> String {
    let mut text = format!("{} {name:?} {label:?} {{\n", kind.as_str());
    let attributes = registry.find_schema(kind, name).map(|s| s.attributes.as_slice()).unwrap_or_default();
    for attribute in attributes {
        let value = value(kind, attribute, label);
        let mark = if attribute.required { "" } else { "# " };
        text.push_str(&format!("  # {}\n  {mark}{} = {value}\n", attribute.doc, attribute.name));
    }
    text.push_str("}\n\n");
    text
}

/// A value of the right type that says where it has to be replaced.
fn value(kind: BlockKind, attribute: &AttributeSchema, label: &str) -> String {
    if let Some(first) = attribute.allowed.first() {
        return format!("{first:?}");
    }
    match (&attribute.ty, kind, attribute.name.as_str()) {
        (_, BlockKind::Route, "source") => "\"old\"".to_owned(),
        (_, BlockKind::Route, "target") => "\"new\"".to_owned(),
        (AttributeType::Path, BlockKind::Route, _) => "\"live\"".to_owned(),
        (AttributeType::Path, _, _) => format!("{label:?}"),
        (AttributeType::String, _, _) if attribute.sensitive => "env(\"SECRET\")".to_owned(),
        (AttributeType::String, _, _) => "\"...\"".to_owned(),
        (AttributeType::Number | AttributeType::Decimal, _, _) => "1".to_owned(),
        (AttributeType::Bool, _, _) => "false".to_owned(),
        (AttributeType::Duration, _, _) => "\"30s\"".to_owned(),
        (AttributeType::Size, _, _) => "\"50MiB\"".to_owned(),
        (AttributeType::Rate, _, _) => "\"50MiB/s\"".to_owned(),
        (AttributeType::Words | AttributeType::OneOrMore, _, _) => "[]".to_owned(),
        (AttributeType::Pairs, _, _) => "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use insta::assert_snapshot;
    use segue_contract::{AttributeSchema, AttributeType, BlockKind, BlockSchema, Registry};
    use segue_language::{SpecInput, SpecPath, load};

    use super::text;

    fn registry() -> Registry {
        let schema = |kind, name: &str, attributes| BlockSchema {
            kind,
            name: name.to_owned(),
            doc: String::new(),
            attributes,
        };
        let path = || AttributeSchema::required("path", AttributeType::Path, "Where it lies.");
        let words = |name| AttributeSchema::required(name, AttributeType::Words, "A command.");
        let mut registry = Registry::default();
        registry
            .schema(schema(BlockKind::Source, "directory", vec![path()]))
            .schema(schema(BlockKind::Target, "directory", vec![path()]))
            .schema(schema(
                BlockKind::Gate,
                "lag",
                vec![AttributeSchema::required("max", AttributeType::Duration, "")],
            ))
            .schema(schema(
                BlockKind::Quiesce,
                "command",
                vec![words("stop"), words("start"), words("probe")],
            ))
            .schema(schema(
                BlockKind::Route,
                "symlink",
                vec![
                    path(),
                    AttributeSchema::required(
                        "source",
                        AttributeType::String,
                        "What it holds when the source serves.",
                    ),
                    AttributeSchema::required(
                        "target",
                        AttributeType::String,
                        "What it holds when the target serves.",
                    ),
                ],
            ));
        registry
    }

    #[test]
    fn the_starter_is_commented_and_formatted() {
        assert_snapshot!(text(&registry(), "directory", "directory"), @r#"
        # What is moved, where to, and when clients follow. `segue plan` shows what this leads to;
        # nothing is touched before `segue apply`.

        source "directory" "old" {
          # Where it lies.
          path = "old"
        }

        target "directory" "new" {
          # Where it lies.
          path = "new"
        }

        # What clients follow. Both sides of it are named, so that going back is as easy.
        route "symlink" "site" {
          # Where it lies.
          path = "live"
          # What it holds when the source serves.
          source = "old"
          # What it holds when the target serves.
          target = "new"
        }

        migration "site" {
          source = source.directory.old
          target = target.directory.new

          # select {
          #   exclude = ["*.tmp", "cache/"]
          # }
          verify {
            level = "full" # count | sampled | full
          }
        }

        cutover "site" {
          migrations = [migration.site]

          # Which side serves. Write "target" when you are ready to switch; back to "source" switches back.
          live = "source"

          # Not through within this: abort, the side that served opens first.
          timeout = "2m"

          gate "lag" {
            max = "10s"
          }

          # How writes are stopped, started and tried. The probe must fail while they are stopped.
          quiesce "command" {
            stop  = ["./app", "stop"]
            start = ["./app", "start"]
            probe = ["./app", "try-write"]
          }

          switch {
            routes = [route.symlink.site]
          }

          fallback {
            reverse       = true # keep the old side fresh: going back loses nothing
            stale_writers = "report" # what reaches the old side past Segue is found and listed
            retain        = "14d"
          }
        }
        "#);
    }

    #[test]
    fn the_starter_is_valid_as_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("main.segue.hcl");
        segue_contract::paths::replace(&file, text(&registry(), "directory", "directory").as_bytes())
            .unwrap();
        let input = SpecInput {
            dir_or_file: SpecPath::File(file),
            vars: Vec::new(),
            var_files: Vec::new(),
            env: BTreeMap::new(),
            kept: BTreeMap::new(),
        };
        let loaded = load(&input, &registry());
        assert_eq!(loaded.diagnostics, []);
        assert_eq!(loaded.desired.unwrap().cutovers.len(), 1);
    }
}
