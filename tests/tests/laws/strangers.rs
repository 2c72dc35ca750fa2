//! Markers: a second state directory, a copy, and an old copy are refused, and say who holds what.

use segue_contract::Side;
use segue_run::directory::StateDirectory;
use segue_tests::lab::{Case, Task};
use segue_tests::memory::Deed;

use crate::harness::{Kind, Lab, SOURCE, TARGET, copy};

#[test]
fn a_second_state_directory_is_refused_by_the_marker_which_names_host_and_user() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(SOURCE);
        let marker = lab.world().stores["old"].marker.clone().expect("claimed");
        let before = lab.world();
        let second = Case { state_dir: lab.state_dir().with_file_name("second"), ..lab.case(TARGET) };
        let outcome = lab.try_run(&second, &Task::Apply, None).expect("ends");
        assert_eq!(outcome.exit, 1, "{kind:?}");
        let said = outcome.messages.join("\n");
        let who = format!("{}@{}", marker.user, marker.host);
        assert!(said.contains("MARKER_FOREIGN") && said.contains(&who), "{kind:?}: {said}");
        assert!(said.contains(&marker.state_dir), "{kind:?}: {said}");
        assert_eq!(lab.world(), before, "{kind:?}");
    }
}

#[test]
fn a_claimant_who_came_second_takes_back_what_it_claimed_first() {
    for (held, free) in [("old", "new"), ("new", "old")] {
        let lab = Lab::new(Kind::Writers);
        lab.applied(SOURCE);
        let marker = lab.world().stores[held].marker.clone();
        lab.change(|world| {
            for (name, store) in &mut world.stores {
                store.marker.take_if(|_| name == free);
            }
        });
        let second = Case { state_dir: lab.state_dir().with_file_name("second"), ..lab.case(TARGET) };
        let outcome = lab.try_run(&second, &Task::Apply, None).expect("ends");
        assert_eq!(outcome.exit, 1, "{held}");
        let world = lab.world();
        assert_eq!(world.stores[held].marker, marker, "{held} is kept");
        assert_eq!(world.stores[free].marker, None, "{free} is free");
    }
}

#[test]
fn a_copied_state_directory_is_refused() {
    let lab = Lab::new(Kind::Writers);
    lab.applied(TARGET);
    let before = lab.world();
    let copied = lab.state_dir().with_file_name("copied");
    copy(&lab.state_dir(), &copied);
    let outcome =
        lab.try_run(&Case { state_dir: copied, ..lab.case(SOURCE) }, &Task::Apply, None).expect("ends");
    assert_eq!(outcome.exit, 1);
    assert!(outcome.messages.concat().contains("is a copy"), "{:?}", outcome.messages);
    assert_eq!(lab.world(), before);
}

/// Puts an old state in the place of the newest, as a backup does: even the inode can be the same.
fn go_back_in_time(lab: &Lab, old: &std::path::Path) {
    std::fs::remove_dir_all(lab.state_dir()).expect("removed");
    copy(old, &lab.state_dir());
    let (directory, _) = StateDirectory::open(&lab.state_dir()).expect("readable").expect("there");
    directory.settle_here().expect("settled");
}

#[test]
fn an_old_copy_of_the_state_is_refused_after_a_switch() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(SOURCE);
        let old = lab.state_dir().with_file_name("old-state");
        copy(&lab.state_dir(), &old);
        lab.applied(TARGET);
        go_back_in_time(&lab, &old);
        let before = lab.world();
        for want in [SOURCE, TARGET] {
            let outcome = lab.apply(want);
            assert_eq!(outcome.exit, 1, "{kind:?}: {:?}", outcome.messages);
            assert!(outcome.messages.concat().contains("MARKER_AHEAD"), "{kind:?}: {:?}", outcome.messages);
        }
        assert_eq!(lab.world(), before, "{kind:?}");
    }
}

#[test]
fn an_old_copy_with_a_cutover_in_flight_settles_nothing() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.script(&[("quiesce.close#1", Deed::KillAfter)]);
        assert_eq!(lab.try_run(&lab.case(TARGET), &Task::Apply, None), None, "{kind:?}: killed");
        let old = lab.state_dir().with_file_name("old-state");
        copy(&lab.state_dir(), &old);
        lab.applied(TARGET);
        go_back_in_time(&lab, &old);
        let before = lab.world();
        let outcome = lab.apply(TARGET);
        assert_eq!(outcome.exit, 1, "{kind:?}: {:?}", outcome.messages);
        assert_eq!(lab.world(), before, "{kind:?}: an old journal's abort would have opened the old side");
        lab.check_serves(Side::Target, "untouched");
    }
}
