//! Every example is a spec that is valid and formatted as `segue fmt` writes it.

use std::path::Path;
use std::process::Command;

use segue_tests::segue_binary;

#[test]
fn every_example_is_valid_and_formatted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&examples).expect("examples").flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        seen += 1;
        assert!(entry.path().join("README.md").is_file(), "{} has no README.md", entry.path().display());
        for command in [&["validate"][..], &["fmt", "--check"][..]] {
            let output = Command::new(segue_binary()).arg("-C").arg(entry.path()).args(command).output();
            let output = output.expect("segue starts");
            assert!(
                output.status.success(),
                "{command:?} of {}: {}{}",
                entry.path().display(),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(seen >= 3, "the examples are where this test looks");
}
