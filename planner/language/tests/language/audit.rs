//! `audit { sample }`, and `verify { in_pause }`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::world::Spec;

fn spec(inner: &str) -> Spec {
    Spec::new(&format!(
        "source \"directory\" \"s\" {{\n  path = \"s\"\n}}\ntarget \"directory\" \"t\" {{\n  path = \"t\"\n}}\n\
         migration \"m\" {{\n  source = source.directory.s\n  target = target.directory.t\n{inner}\n}}\n"
    ))
}

fn sample(inner: &str) -> u32 {
    let desired = spec(inner).load().desired.unwrap();
    desired.migrations.values().next().unwrap().audit.sample_ppm
}

#[test]
fn the_sample_is_a_share_and_a_thousandth_when_nothing_is_said() {
    assert_eq!(sample(""), 1_000);
    assert_eq!(sample("  audit {\n    sample = \"1%\"\n  }"), 10_000);
    assert_eq!(sample("  audit {\n    sample = \"100%\"\n  }"), 1_000_000);
    assert_eq!(sample("  audit {\n    sample = \"0.0001%\"\n  }"), 1);
    for wrong in ["1", "101%", "-1%", "half", "%", "NaN%", "0.00001%"] {
        let said = spec(&format!("  audit {{\n    sample = \"{wrong}\"\n  }}")).problems();
        assert!(said.contains("SPEC_BAD_VALUE"), "{wrong}: {said}");
        assert!(said.contains("from \"0.0001%\" to \"100%\""), "{wrong}: {said}");
    }
}

#[test]
fn no_sample_at_all_wants_a_waiver() {
    let none = "  audit {\n    sample = \"0%\"\n  }";
    let said = spec(none).problems();
    assert!(said.contains("a change that moves no time of a file is never found"), "{said}");
    assert!(said.contains("waive \"AUDIT_SAMPLE\""), "{said}");
    let waived =
        format!("{none}\n  waive \"AUDIT_SAMPLE\" {{\n    reason = \"nothing maps files here\"\n  }}");
    assert_eq!(sample(&waived), 0);
    let silent = format!("{none}\n  waive \"AUDIT_SAMPLE\" {{\n    reason = \"\"\n  }}");
    assert!(spec(&silent).problems().contains("a waiver says why"));
}

#[test]
fn a_verification_in_the_pause_is_asked_for() {
    let whole = |inner: &str| {
        let desired = spec(inner).load().desired.unwrap();
        desired.migrations.values().next().unwrap().verify.in_pause
    };
    assert!(!whole(""));
    assert!(whole("  verify {\n    level = \"full\"\n    in_pause = true\n  }"));
}
