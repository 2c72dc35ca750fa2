//! Holds the architecture: who may name which package, what rooms may be called, how long files and
//! functions may grow. The numbers at the end are ratchets: they go down, never up.

#![expect(clippy::expect_used, reason = "a test that cannot read the project fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file of the project, with its path below the root.
fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("readable").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for package in ["cli", "planner", "providers", "tests"] {
        walk(&root().join(package), &mut files);
    }
    files
        .into_iter()
        .map(|path| {
            let text = segue_contract::paths::read_to_string(&path).expect("UTF-8");
            (path.strip_prefix(root()).expect("below").display().to_string(), text)
        })
        .collect()
}

/// Files that use a package and are not in one of the places that may.
fn namers(package: &str, allowed: &[&str]) -> Vec<String> {
    let used = [format!("use {package}::"), format!("{package}::")];
    sources()
        .into_iter()
        .filter(|(path, _)| !allowed.iter().any(|a| path.starts_with(a)) && !path.ends_with("tests/tidy.rs"))
        .filter(|(_, text)| {
            text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//") && used.iter().any(|u| contains_path(line, u))
            })
        })
        .map(|(path, _)| path)
        .collect()
}

fn contains_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
    })
}

#[test]
fn packages_are_named_only_where_they_may_be() {
    let rules: [(&str, &[&str]); 8] = [
        (
            "sled",
            &["planner/run/src/store/sled.rs", "planner/run/src/store.rs", "planner/run/src/store/tests"],
        ),
        (
            "tokio",
            &[
                "planner/run/src/execute/dispatch",
                "planner/run/src/execute/scrape.rs",
                "planner/run/src/execute/signals.rs",
                "planner/run/src/execute/socket.rs",
                "planner/run/src/journal/tests",
            ],
        ),
        ("clap", &["cli/src"]),
        ("miette", &["cli/src/diagnostics"]),
        ("indicatif", &["cli/src/progress"]),
        ("ratatui", &["cli/src/screen"]),
        ("petgraph", &["planner/plan/src/graph.rs"]),
        ("hcl", &["planner/language/src"]),
    ];
    for (package, allowed) in rules {
        assert_eq!(
            namers(package, allowed),
            Vec::<String>::new(),
            "{package} may be named only in {allowed:?}"
        );
    }
}

#[test]
fn the_pure_rooms_know_no_clock_and_no_files() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("planner/plan/src")) {
        for word in ["SystemTime", "Instant::now", "std::fs", "std::net", "std::env", "rand::", "std::thread"]
        {
            assert!(!text.contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn arrows_run_one_way() {
    let manifest = |package: &str| {
        let text = segue_contract::paths::read_to_string(&root().join(package).join("Cargo.toml"))
            .expect("manifest");
        let end = text.find("[dev-dependencies]").unwrap_or(text.len());
        text[..end].to_owned()
    };
    let never: [(&str, &[&str]); 5] = [
        ("planner/contract", &["segue-"]),
        ("planner/language", &["segue-plan", "segue-run", "segue-providers", "segue.workspace"]),
        ("planner/plan", &["segue-run", "segue-providers", "segue.workspace", "tokio", "sled", "rustix"]),
        ("planner/run", &["segue-providers", "segue.workspace"]),
        ("providers", &["segue-language", "segue-plan", "segue-run", "segue.workspace"]),
    ];
    for (package, words) in never {
        let text = manifest(package);
        let own = format!("name = \"segue-{}\"", package.rsplit('/').next().expect("a name"));
        let text = text.replace(&own, "");
        for word in words {
            assert!(!text.contains(word), "{package} depends on {word}");
        }
    }
}

#[test]
fn no_room_is_called_after_nothing() {
    let empty = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "mod"];
    for path in sources().keys() {
        for word in path.trim_end_matches(".rs").split('/') {
            assert!(!empty.contains(&word), "{path}");
        }
    }
}

#[test]
fn every_file_says_why_it_exists() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{path} begins with no //!");
    }
}

#[test]
fn nothing_is_silenced_without_a_reason() {
    for (path, text) in sources() {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        for line in text.lines() {
            assert!(!line.contains("#[allow") && !line.contains("#![allow"), "{path}: {line}");
            // The only tests that are left out are the bodies of other tests' child processes.
            assert!(!line.contains("#[ignore") || line.contains("the child of"), "{path}: {line}");
        }
    }
}

/// How many long files and functions there are.
const RATCHET: (usize, usize) = (0, 20);

/// Files over 500 lines, and functions over 60: alarm lines. The counts may only go down.
#[test]
fn alarm_lines_only_go_down() {
    let (most_files, most_functions) = RATCHET;
    let mut long_files = Vec::new();
    let mut long_functions = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > 500 {
            long_files.push(format!("{path}: {}", lines.len()));
        }
        let mut start: Option<(usize, usize)> = None;
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let is_fn = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "]
                .iter()
                .any(|head| words.starts_with(head));
            if is_fn && !words.ends_with(';') {
                start = Some((i, indent));
            } else if let Some((first, at)) = start
                && words == "}"
                && indent == at
            {
                if i - first + 1 > 60 {
                    long_functions.push(format!("{path}:{}: {} lines", first + 1, i - first + 1));
                }
                start = None;
            }
        }
    }
    assert!(long_files.len() <= most_files, "{} long files:\n{}", long_files.len(), long_files.join("\n"));
    assert!(
        long_functions.len() <= most_functions,
        "{} long functions:\n{}",
        long_functions.len(),
        long_functions.join("\n")
    );
}

/// Commands for people are made by `segue_contract::segue`, which quotes for the shell and repeats options.
#[test]
fn no_command_is_printed_from_a_text() {
    let said = |path: &str, text: &str| -> Vec<String> {
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = program.lines().enumerate();
        let said = lines.filter(|(_, line)| {
            let code = line.trim_start();
            !code.starts_with("//") && !code.contains("doc: ") && code.contains("`segue ")
        });
        said.map(|(n, line)| format!("{path}:{}: {}", n + 1, line.trim())).collect()
    };
    // What `init` writes, help and schemas are read as documentation.
    let exempt = [
        "cli/src/arguments.rs",
        "cli/src/sample.rs",
        "cli/src/starter.rs",
        "planner/language/src/spec/table.rs",
        "planner/language/src/spec/table/conditions.rs",
        "providers/src/quiesce/manual.rs",
    ];
    let found: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| {
            path.contains("/src/") && !path.starts_with("tests/") && !path.ends_with("tests.rs")
        })
        .filter(|(path, _)| !exempt.contains(&path.as_str()))
        .flat_map(|(path, text)| said(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
