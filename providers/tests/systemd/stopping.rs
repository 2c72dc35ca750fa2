//! Units are stopped, kept from starting, and given back as they were.

use segue_contract::{BarrierState, ErrorClass};
use serde_json::json;

use crate::booted::{World, inside, over_boots, wait_until};

const SLEEPS: &str = "ExecStart=/bin/sleep 1000";
/// A `timeout` that is waited for in vain: short, and long enough for systemctl on a busy machine.
const SHORT_MS: u64 = 4000;

fn is_closed(world: &World, call: &segue_contract::QuiesceCall) -> bool {
    matches!(world.observe(call), BarrierState::Closed(_))
}

#[test]
fn units_are_stopped_and_given_back_as_they_were() {
    inside("stopping::units_are_stopped_and_given_back_as_they_were", |world| {
        world.service("web.service", "", SLEEPS);
        world.service("idle.service", "", SLEEPS);
        world.must(&["daemon-reload"]);
        world.must(&["start", "web.service"]);
        let before = world.files();
        let call = world.call(&["web.service", "idle.service"], &json!({}));
        assert_eq!(world.check(&call), Vec::<String>::new());
        assert_eq!(world.observe(&call), BarrierState::Open);

        world.close(&call).expect("closes");
        assert!(is_closed(world, &call), "{:?}", world.observe(&call));
        assert_eq!(world.is("web.service"), "inactive");
        // Nobody starts them: not by hand, not as a dependency.
        let (started, said) = world.systemctl(&["start", "web.service"]);
        assert!(!started && said.contains("ssertion failed"), "{said}");
        assert_eq!(world.is("web.service"), "inactive");
        world.close(&call).expect("closes again");
        assert!(is_closed(world, &call));

        for _ in 0..2 {
            world.open(&call).expect("opens, and again");
            assert_eq!(
                (world.is("web.service"), world.is("idle.service")),
                ("active".into(), "inactive".into())
            );
            assert_eq!(world.observe(&call), BarrierState::Open);
            assert_eq!(world.files(), before, "nothing is left behind");
        }
        world.must(&["start", "idle.service"]);
        // A second round remembers anew.
        world.close(&call).expect("closes");
        world.open(&call).expect("opens");
        assert_eq!((world.is("web.service"), world.is("idle.service")), ("active".into(), "active".into()));
    });
}

#[test]
fn a_unit_that_restarts_itself_stays_down() {
    inside("stopping::a_unit_that_restarts_itself_stays_down", |world| {
        // It ends and is started again all the time: the quiesce meets it in any state.
        world.service(
            "flap.service",
            "StartLimitIntervalSec=0",
            "ExecStart=/bin/sh -c 'exec sleep 0.01'\nRestart=always\nRestartSec=1ms",
        );
        world.service("firm.service", "", &format!("{SLEEPS}\nRestart=always\nRestartSec=1ms"));
        world.must(&["daemon-reload"]);
        world.must(&["start", "flap.service", "firm.service"]);
        let call = world.call(&["flap.service", "firm.service"], &json!({}));
        world.close(&call).expect("closes");
        assert!(is_closed(world, &call), "{:?}", world.observe(&call));
        world.open(&call).expect("opens");
        let restarts =
            || world.must(&["show", "-P", "NRestarts", "flap.service"]).parse::<u32>().unwrap_or(0);
        wait_until("it flaps again", || restarts() > 1);
        assert_eq!(world.is("firm.service"), "active");
    });
}

#[test]
fn a_unit_that_ignores_sigterm_is_named_and_can_be_given_back() {
    inside("stopping::a_unit_that_ignores_sigterm_is_named_and_can_be_given_back", |world| {
        world.service(
            "deaf.service",
            "",
            "Type=notify\nNotifyAccess=all\nTimeoutStopSec=infinity\n\
             ExecStart=/bin/sh -c 'trap \"\" TERM; systemd-notify --ready; while :; do sleep 1000 & wait; done'",
        );
        world.must(&["daemon-reload"]);
        world.must(&["start", "deaf.service"]);
        let call = world.call(&["deaf.service"], &json!({"timeout": SHORT_MS}));
        let error = world.close(&call).expect_err("it does not end");
        assert_eq!(error.class, ErrorClass::Unknown, "{error}");
        let said = error.to_string();
        let wanted = "cutover.a.quiesce.systemd: stopping takes longer than timeout: \
                      deaf.service is deactivating (stop-sigterm), process ";
        assert!(said.starts_with(wanted) && error.remedy.is_some(), "{said}");
        // On its way down it may still write.
        assert_eq!(world.observe(&call), BarrierState::Open);
        // Opening waits for its end, which somebody has to bring about.
        assert_eq!(world.open(&call).expect_err("not yet").class, ErrorClass::Transient);
        world.must(&["kill", "-s", "KILL", "deaf.service"]);
        let patient = world.call(&["deaf.service"], &json!({}));
        world.open(&patient).expect("opens");
        assert_eq!(world.is("deaf.service"), "active");
        // Or the manager waits for it at its own end.
        world.must(&["kill", "-s", "KILL", "deaf.service"]);
    });
}

#[test]
fn a_process_that_a_stopped_unit_leaves_behind_is_no_quiet() {
    inside("stopping::a_process_that_a_stopped_unit_leaves_behind_is_no_quiet", |world| {
        world.service(
            "messy.service",
            "",
            "KillMode=process\nType=notify\nNotifyAccess=all\n\
             ExecStart=/bin/sh -c 'sleep 2000 & echo $! >/run/left; systemd-notify --ready; exec sleep 1000'",
        );
        world.must(&["daemon-reload"]);
        world.must(&["start", "messy.service"]);
        let left = segue_contract::paths::read_to_string("/run/left".as_ref()).expect("its child's number");
        let left = left.trim().to_owned();
        let call = world.call(&["messy.service"], &json!({"timeout": SHORT_MS}));
        let error = world.close(&call).expect_err("a process is left").to_string();
        let wanted = format!("messy.service is inactive, but left behind process {left} (sleep)");
        assert!(error.ends_with(&wanted), "{error}");
        assert_eq!(world.observe(&call), BarrierState::Unknown(wanted));
        assert!(std::process::Command::new("/bin/kill").arg(&left).status().expect("kill").success());
        world.close(&call).expect("closes");
        assert!(is_closed(world, &call));
    });
}

#[test]
fn what_stops_along_is_started_again_and_masked_stays_masked() {
    inside("stopping::what_stops_along_is_started_again_and_masked_stays_masked", |world| {
        world.service("db.service", "", SLEEPS);
        world.service("near.service", "Requires=db.service\nAfter=db.service", SLEEPS);
        world.service("far.service", "BindsTo=near.service\nAfter=near.service", SLEEPS);
        world.service("off.service", "Requires=db.service", SLEEPS);
        let masked = world.at().join("masked.service");
        std::os::unix::fs::symlink("/dev/null", &masked).expect("a mask");
        world.must(&["daemon-reload"]);
        world.must(&["start", "far.service"]);
        let call = world.call(&["db.service", "masked.service"], &json!({}));
        assert_eq!(world.check(&call), Vec::<String>::new());
        world.close(&call).expect("closes");
        assert!(is_closed(world, &call), "{:?}", world.observe(&call));
        for unit in ["near.service", "far.service"] {
            assert_eq!(world.is(unit), "inactive");
        }
        assert!(!world.systemctl(&["start", "far.service"]).0, "it requires what may not start");
        world.open(&call).expect("opens");
        let now = ["db.service", "near.service", "far.service", "off.service"].map(|u| world.is(u));
        assert_eq!(now, ["active", "active", "active", "inactive"]);
        assert!(masked.is_symlink(), "its mask is not ours");
    });
}

#[test]
fn the_units_of_a_dead_run_are_given_back_by_the_next_and_by_hand() {
    inside("stopping::the_units_of_a_dead_run_are_given_back_by_the_next_and_by_hand", |world| {
        world.service("web.service", "", SLEEPS);
        let own = world.at().join("web.service.d");
        std::fs::create_dir(&own).expect("made");
        segue_contract::paths::replace(&own.join("10-own.conf"), b"[Service]\nNice=3\n").expect("written");
        world.must(&["daemon-reload"]);
        world.must(&["start", "web.service"]);
        let before = world.files();
        let call = world.call(&["web.service"], &json!({}));
        let by_hand = world.by_hand(&call);
        world.close(&call).expect("closes");
        // Nothing is kept in memory: this is what a later process sees. Its manager may have restarted too.
        world.must(&["daemon-reexec"]);
        wait_until("systemd answers again", || world.systemctl(&["show"]).0);
        assert!(is_closed(world, &call), "{:?}", world.observe(&call));
        assert!(!world.systemctl(&["start", "web.service"]).0);
        world.close(&call).expect("closes again: what is on record stays");

        let typed = std::process::Command::new("sh").args(["-c", &by_hand]).status().expect("sh");
        assert!(typed.success(), "{by_hand}");
        assert_eq!(world.is("web.service"), "active");
        assert_eq!(world.files(), before, "what was there before stays");
        world.open(&call).expect("opens what is open");
        assert_eq!((world.is("web.service"), world.files()), ("active".into(), before));
    });
}

#[test]
fn units_stay_down_over_a_reboot() {
    let before = |world: &World| {
        world.service("web.service", "", &format!("{SLEEPS}\n[Install]\nWantedBy=basic.target"));
        world.service("other.service", "", &format!("{SLEEPS}\n[Install]\nWantedBy=basic.target"));
        world.must(&["daemon-reload"]);
        world.must(&["enable", "web.service", "other.service"]);
        world.must(&["start", "web.service"]);
        world.close(&world.call(&["web.service"], &json!({}))).expect("closes");
    };
    let after = |world: &World| {
        let call = world.call(&["web.service"], &json!({}));
        // As a boot does.
        world.must(&["start", "basic.target"]);
        wait_until("the target's other unit runs", || world.is("other.service") == "active");
        assert_eq!(world.is("web.service"), "inactive");
        assert!(is_closed(world, &call), "{:?}", world.observe(&call));
        assert!(world.harden(&call).is_err(), "the lease is gone with the boot that held it");
        world.open(&call).expect("opens");
        assert_eq!(world.is("web.service"), "active");
        assert_eq!(world.must(&["is-enabled", "web.service"]), "enabled");
    };
    over_boots("stopping::units_stay_down_over_a_reboot", &[&before, &after]);
}

#[test]
fn what_cannot_work_is_found_before_anything_runs() {
    inside("stopping::what_cannot_work_is_found_before_anything_runs", |world| {
        world.service("web.service", "", SLEEPS);
        world.service("web.socket", "", "");
        segue_contract::paths::replace(
            &world.at().join("web.socket"),
            b"[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/web.sock\n",
        )
        .expect("written");
        world.must(&["daemon-reload"]);
        world.must(&["start", "web.socket"]);
        assert_eq!(
            world.check(&world.call(&["gone.service"], &json!({}))),
            ["there is no unit gone.service"]
        );
        let found = world.check(&world.call(&["web.service"], &json!({})));
        assert_eq!(found, ["web.socket starts web.service, and is not among the units"]);
        let both = world.call(&["web.service", "web.socket"], &json!({}));
        assert_eq!(world.check(&both), Vec::<String>::new());
        world.close(&both).expect("closes");
        assert!(std::os::unix::net::UnixStream::connect("/run/web.sock").is_err(), "nobody listens");
        world.open(&both).expect("opens");
        assert_eq!((world.is("web.socket"), world.is("web.service")), ("active".into(), "inactive".into()));
        assert!(std::os::unix::net::UnixStream::connect("/run/web.sock").is_ok());
        wait_until("the socket starts it", || world.is("web.service") == "active");
    });
}
