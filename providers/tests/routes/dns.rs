//! `route "dns"` at a BIND that is well.

use std::process::Command;

use segue_contract::{ErrorClass, RouteAt, Side};
use serde_json::json;

use crate::named::{KEY, Named, at, record, search, set};
use crate::step::{Io, block, check, route};

#[test]
fn a_record_is_set_observed_and_set_again() {
    let named = Named::new();
    let search = search(named.port);
    assert_eq!(check(&search), Vec::<String>::new());
    assert_eq!(at(&search), RouteAt::Side(Side::Source));
    for side in [Side::Target, Side::Target, Side::Source, Side::Target] {
        set(&search, side).expect("sets");
        assert_eq!(at(&search), RouteAt::Side(side));
    }
    assert_eq!(named.dig("search.mig.test", "A"), ["search.mig.test. 5 IN A 10.0.0.2"]);
    // Setting twice is setting once: the zone's number rises with each change alone.
    let serial = named.dig("mig.test", "SOA");
    set(&search, Side::Target).expect("sets again");
    assert_eq!(named.dig("mig.test", "SOA"), serial);
}

#[test]
fn every_type_is_switched_several_values_too_and_missing_ones_are_made() {
    let named = Named::new();
    let long = "x".repeat(700);
    let cases = [
        ("a", "A", json!(["10.0.0.1", "10.0.0.3"]), json!(["10.0.0.2"])),
        ("aaaa", "AAAA", json!(["2001:db8::1"]), json!(["2001:db8:0::2", "2001:db8::3"])),
        ("www", "CNAME", json!(["OLD.mig.test"]), json!(["new.mig.test."])),
        ("txt", "TXT", json!(["say \"hi\"; ä"]), json!([long])),
    ];
    for (name, kind, source, target) in cases {
        let more: &[_] = if kind == "TXT" { &[("type", json!("TXT"))] } else { &[] };
        let block = record(named.port, name, source, target, more);
        let wanted = if name == "www" { RouteAt::Side(Side::Source) } else { RouteAt::Missing };
        assert_eq!(at(&block), wanted, "{kind}");
        for side in [Side::Target, Side::Source, Side::Target] {
            set(&block, side).unwrap_or_else(|e| panic!("{kind}: {e}"));
            assert_eq!(at(&block), RouteAt::Side(side), "{kind}");
            let by_hand = route(&block).set_by_hand(&block, side.other());
            let key = named.dir().join("segue.key").display().to_string();
            let typed = by_hand.replace("KEYFILE", &key);
            assert!(typed != by_hand && !typed.contains(KEY), "{typed}");
            assert!(Command::new("sh").args(["-c", &typed]).status().expect("sh").success(), "{typed}");
            assert_eq!(at(&block), RouteAt::Side(side.other()), "{typed}");
            set(&block, side).unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
    }
    assert_eq!(named.dig("aaaa.mig.test", "AAAA").len(), 2);
}

#[test]
fn whether_it_could_be_set_is_asked_without_a_change() {
    let named = Named::new();
    let (source, target) = (json!(["10.0.0.1"]), json!(["10.0.0.2"]));
    let names = (json!(["old.mig.test."]), json!(["new.mig.test."]));
    let before = (named.dig("mig.test", "SOA"), named.dig("search.mig.test", "A"));
    for block in [
        search(named.port),
        record(named.port, "slow", source.clone(), target.clone(), &[]),
        record(named.port, "none", source, target, &[]),
        record(named.port, "www", names.0, names.1, &[]),
    ] {
        let proof = route(&block).settable(&block, &Io).expect("it could");
        assert!(proof.is_some_and(|proof| proof.contains(" would update ")), "{}", block.address);
    }
    assert_eq!((named.dig("mig.test", "SOA"), named.dig("search.mig.test", "A")), before);
    named.update(&["update add search.mig.test 5 A 10.0.0.9"]);
    let block = search(named.port);
    let error = route(&block).settable(&block, &Io).expect_err("somebody else's");
    assert!(error.to_string().contains("neither side's"), "{error}");
}

#[test]
fn a_key_of_the_longer_algorithm_signs_as_well() {
    let named = Named::new();
    let more = [("key_name", json!("long")), ("key_algorithm", json!("hmac-sha512"))];
    let search = record(named.port, "search", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &more);
    set(&search, Side::Target).expect("sets");
    assert_eq!(at(&search), RouteAt::Side(Side::Target));
}

#[test]
fn how_long_old_answers_live_is_the_larger_of_what_is_there_and_what_is_declared() {
    let named = Named::new();
    let slow = record(named.port, "slow", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[]);
    assert_eq!(route(&slow).ttl_ms(&slow), 3_600_000);
    let found = check(&slow);
    let wanted = "warning: slow.mig.test. A has a TTL of 3600 s and not of 5 s: clients keep the old answer that long after the switch";
    assert_eq!(found, [wanted]);
    // Pointing it to where it is lowers the TTL, as the finding says.
    set(&slow, Side::Source).expect("sets");
    assert_eq!(named.dig("slow.mig.test", "A"), ["slow.mig.test. 5 IN A 10.0.0.1"]);
    assert_eq!((route(&slow).ttl_ms(&slow), check(&slow)), (5_000, vec![]));
    // That there is nothing is kept as well, as the zone says: 30 s.
    let none = record(named.port, "none", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[]);
    assert_eq!(route(&none).ttl_ms(&none), 30_000);
    // Where nobody answers it is the declared one.
    let nobody = record(crate::step::free_port(), "slow", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[]);
    assert_eq!(route(&nobody).ttl_ms(&nobody), 5_000);
}

#[test]
fn other_records_at_the_name_are_told_and_never_destroyed() {
    let named = Named::new();
    let mixed = record(named.port, "mixed", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[]);
    let before = named.dig("mixed.mig.test", "ANY");
    assert_eq!(before.len(), 4, "{before:?}");
    let found = check(&mixed);
    assert!(
        matches!(found.as_slice(), [one, two]
        if one.starts_with("warning: mixed.mig.test. also has AAAA records: clients that take those do not follow")
        && two.starts_with("info: mixed.mig.test. also has ") && two.contains("TXT") && two.contains("MX")),
        "{found:?}"
    );
    set(&mixed, Side::Target).expect("sets");
    let after = named.dig("mixed.mig.test", "ANY");
    let moved: Vec<String> = before.iter().map(|line| line.replace("A 10.0.0.1", "A 10.0.0.2")).collect();
    assert_eq!(after, moved);

    // A CNAME cannot lie beside them: the server would take the update and do nothing.
    let alias = record(named.port, "mixed", json!(["old.mig.test."]), json!(["new.mig.test."]), &[]);
    let found = check(&alias);
    assert!(
        found.iter().any(|f| f.starts_with("critical: mixed.mig.test. also has ")
            && f.contains("a CNAME and other records")),
        "{found:?}"
    );
    let error = set(&alias, Side::Target).expect_err("not done");
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(
        error.to_string().contains("took the update of mixed.mig.test. CNAME, and did not do it"),
        "{error}"
    );
    assert_eq!(named.dig("mixed.mig.test", "ANY"), after);
    let address = record(named.port, "www", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[]);
    assert_eq!(at(&address), RouteAt::Other("CNAME old.mig.test.".into()));
    assert!(set(&address, Side::Target).is_err());
    assert_eq!(named.dig("www.mig.test", "CNAME").len(), 1);
}

#[test]
fn a_value_of_somebody_else_is_told_and_left_unless_the_spec_says_otherwise() {
    let named = Named::new();
    let block = search(named.port);
    named.update(&["update add search.mig.test 5 A 10.0.0.9"]);
    assert_eq!(at(&block), RouteAt::Other("A 10.0.0.1, 10.0.0.9".into()));
    let found = check(&block);
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("warning: search.mig.test. A is A 10.0.0.1, 10.0.0.9, which is neither side's")),
        "{found:?}"
    );
    let error = set(&block, Side::Target).expect_err("somebody else's");
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(
        error.to_string().contains("somebody else changed the record: it is A 10.0.0.1, 10.0.0.9 now"),
        "{error}"
    );
    assert!(error.remedy.as_deref().is_some_and(|r| r.contains("nsupdate")), "{error:?}");
    assert_eq!(named.dig("search.mig.test", "A").len(), 2);
    let firm = record(
        named.port,
        "search",
        json!(["10.0.0.1"]),
        json!(["10.0.0.2"]),
        &[("replace_others", json!(true))],
    );
    assert_eq!(check(&firm), Vec::<String>::new());
    set(&firm, Side::Target).expect("replaces");
    assert_eq!(at(&firm), RouteAt::Side(Side::Target));
}

#[test]
fn mistakes_in_the_spec_are_found_before_anything_runs() {
    let named = Named::new();
    let found = |more: &[(&str, serde_json::Value)]| {
        check(&record(named.port, "search", json!(["10.0.0.1"]), json!(["10.0.0.2"]), more)).join("; ")
    };
    for (more, wanted) in [
        (
            vec![("target", json!(["10.0.0.1"]))],
            "source and target of search.mig.test. A are the same values",
        ),
        (vec![("target", json!(["2001:db8::1"]))], "is no IPv4 address"),
        (vec![("target", json!([]))], "target has no value"),
        (vec![("name", json!("search.elsewhere."))], "search.elsewhere. does not lie in zone mig.test."),
        (vec![("name", json!("search.mig.test"))], "is read as search.mig.test.mig.test."),
        (vec![("name", json!("a b"))], "is no name"),
        (vec![("server", json!("127.0.0.1:dns"))], "server \"127.0.0.1:dns\" is no host"),
        (vec![("key_name", json!(null))], "only one of key_name and key_secret"),
    ] {
        let said = found(&more);
        assert!(said.contains("critical: ") && said.contains(wanted), "{wanted}: {said}");
    }
    let unsigned = block(
        "dns",
        &[
            ("server", json!(format!("127.0.0.1:{}", named.port))),
            ("zone", json!("mig.test")),
            ("name", json!("search")),
            ("source", json!(["10.0.0.1"])),
            ("target", json!(["10.0.0.2"])),
            ("ttl", json!(5000)),
        ],
        &[],
    );
    assert_eq!(check(&unsigned), ["warning: updates of search.mig.test. A are not signed"]);
    assert_eq!(at(&unsigned), RouteAt::Side(Side::Source));
}
