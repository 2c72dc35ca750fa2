//! What the runtime API prints, read, and the commands that follow from it.

use std::path::Path;

use segue_contract::{BlockRef, ErrorClass};
use serde_json::{Value, json};

use super::pool::Pool;
use super::runtime::{Place, Runtime};
use super::*;
use crate::testing::{Io, block};

fn lb(settings: &[(&str, Value)]) -> BlockRef {
    let mut all = vec![
        ("socket", json!("/run/haproxy/admin.sock")),
        ("source", json!("old")),
        ("target", json!("new")),
    ];
    all.extend_from_slice(settings);
    block("route.haproxy.lb", "haproxy", &all)
}

#[test]
fn a_socket_is_a_path_or_a_port_of_a_host() {
    let read = |text: &str| Place::read(text, Path::new("/spec")).to_string();
    let cases = ["/run/a.sock", "a.sock", "lb:9999", "[::1]:9999", "./lb:9999", "lb:x"];
    let wanted = ["/run/a.sock", "/spec/a.sock", "lb:9999", "[::1]:9999", "/spec/./lb:9999", "/spec/lb:x"];
    assert_eq!(cases.map(read), wanted);
}

#[test]
fn mistakes_in_a_block_are_told() {
    let said = |settings: &[(&str, Value)]| {
        let found = Haproxy.check(&lb(settings));
        assert!(found.iter().all(|f| f.severity == Severity::Critical), "{found:?}");
        found.into_iter().map(|f| f.summary).collect::<Vec<_>>().join("; ")
    };
    let backend = ("backend", json!("app"));
    for (settings, wanted) in [
        (vec![], "neither a backend nor a map"),
        (vec![backend.clone(), ("map", json!("m"))], "both a backend and a map"),
        (vec![("map", json!("/m"))], "only one of map and map_key"),
        (vec![backend.clone(), ("target", json!("old"))], "source and target are the same"),
        (vec![backend.clone(), ("reads_backend", json!("app"))], "reads_backend is the backend for writes"),
        (vec![backend.clone(), ("reads_source", json!("r"))], "reads_source is there without reads_backend"),
        (vec![("backend", json!("app; shutdown"))], "is no name of HAProxy"),
        (vec![("backend", json!("app/old"))], "is no name of HAProxy"),
        (
            vec![("map", json!("/m")), ("map_key", json!("k")), ("reads_backend", json!("r"))],
            "cannot send a part of the reads",
        ),
    ] {
        let found = said(&settings);
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn it_can_weigh_only_where_reads_have_a_backend_of_their_own() {
    let plain = lb(&[("backend", json!("app"))]);
    let apart = lb(&[("backend", json!("app")), ("reads_backend", json!("reads"))]);
    assert!(!Haproxy.can_weigh(&plain) && Haproxy.can_weigh(&apart));
    let error = Haproxy.weigh(&plain, 5, &Io::default()).expect_err("it cannot");
    assert!(error.to_string().contains("no backend of its own for reads"), "{error}");
}

#[test]
fn by_hand_it_is_a_line_of_socat() {
    let route = lb(&[("backend", json!("app")), ("end_sessions", json!(true))]);
    assert_eq!(
        Haproxy.set_by_hand(&route, Side::Target),
        "echo 'set server app/new state ready; set server app/new weight 100%; set server app/old state maint; \
         shutdown sessions server app/old' | socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    );
    let route = lb(&[("map", json!("/m")), ("map_key", json!("shop")), ("socket", json!("lb:9"))]);
    assert_eq!(Haproxy.set_by_hand(&route, Side::Source), "echo 'set map /m shop old' | socat - TCP:lb:9");
}

#[test]
fn a_socket_that_nobody_listens_at_is_waited_for_and_changed_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("admin.sock");
    let route = lb(&[("backend", json!("app")), ("socket", json!(socket))]);
    for error in [
        Haproxy.observe(&route, &Io::default()).map(drop).expect_err("nobody is there"),
        Haproxy.set(&route, Side::Target, &Io::default()).expect_err("nobody is there"),
    ] {
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
        assert!(error.to_string().contains("there is no such socket"), "{error}");
    }
}

/// A socket that prints what it is told, or nothing, and keeps the commands.
fn stub(dir: &Path, answer: impl Fn(&str) -> Option<String> + Send + 'static) -> String {
    use std::io::{BufRead, BufReader, Write};
    let path = dir.join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            if let Some(said) = answer(line.trim()) {
                let _ = stream.write_all(format!("{said}\n").as_bytes());
            }
        }
    });
    path.display().to_string()
}

fn state(old: (u32, u32, u32), new: (u32, u32, u32)) -> String {
    let line = |id: u32, name: &str, (admin, weight, initial): (u32, u32, u32)| {
        format!(
            "3 app {id} {name} 127.0.0.1 2 {admin} {weight} {initial} 5 1 0 0 0 0 0 0 - 9101 - 0 0 - - 0\n"
        )
    };
    format!(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n{}{}",
        line(1, "old", old),
        line(2, "new", new)
    )
}

#[test]
fn a_command_that_is_not_answered_may_have_been_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket =
        stub(dir.path(), |line| line.starts_with("show").then(|| state((0, 100, 100), (5, 100, 100))));
    let route = lb(&[("backend", json!("app")), ("socket", json!(socket))]);
    assert_eq!(Haproxy.observe(&route, &Io::default()).expect("observes"), RouteAt::Side(Side::Source));
    let error = Haproxy.set(&route, Side::Target, &Io::default()).expect_err("no answer");
    assert_eq!(error.class, ErrorClass::Unknown, "{error}");
}

#[test]
fn a_socket_without_the_level_admin_is_told_before_anything_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = stub(dir.path(), |line| {
        Some(match line {
            "show cli level" => "operator".to_owned(),
            line if line.starts_with("set") => "Permission denied\n".to_owned(),
            _ => state((0, 100, 100), (5, 100, 100)),
        })
    });
    let route = lb(&[("backend", json!("app")), ("socket", json!(socket))]);
    let found = Haproxy.check(&route);
    let critical: Vec<&str> =
        found.iter().filter(|f| f.severity == Severity::Critical).map(|f| f.summary.as_str()).collect();
    assert!(matches!(critical.as_slice(), [one] if one.contains("has level operator")), "{found:?}");
    let error = Haproxy.set(&route, Side::Target, &Io::default()).expect_err("not permitted");
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
}

#[test]
fn what_servers_say_is_where_it_points_and_what_is_left_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    type Server = (u32, u32, u32);
    let cases: [(Server, Server, RouteAt, &[&str]); 6] = [
        (
            (0, 100, 100),
            (5, 100, 100),
            RouteAt::Side(Side::Source),
            &["set server app/new state ready", "set server app/old state maint"],
        ),
        // Ready again after `disabled` in the configuration.
        ((1, 100, 100), (4, 100, 100), RouteAt::Side(Side::Target), &[]),
        // The configuration has it with weight 0.
        (
            (0, 100, 100),
            (0, 0, 0),
            RouteAt::Side(Side::Source),
            &["set server app/new weight 100", "set server app/old state maint"],
        ),
        // Weights that a step left.
        (
            (0, 75, 100),
            (0, 25, 100),
            RouteAt::Other("both old and new of app ready, 25 % to new".into()),
            &[
                "set server app/new weight 100%",
                "set server app/old state maint",
                "set server app/old weight 100%",
            ],
        ),
        // Draining takes no new traffic, and still has some.
        ((8, 100, 100), (0, 100, 100), RouteAt::Side(Side::Target), &["set server app/old state maint"]),
        (
            (1, 100, 100),
            (8, 100, 100),
            RouteAt::Other("neither old nor new of app ready".into()),
            &["set server app/new state ready"],
        ),
    ];
    for (number, (old, new, at, commands)) in cases.into_iter().enumerate() {
        let here = dir.path().join(number.to_string());
        std::fs::create_dir(&here).expect("mkdir");
        let socket = stub(&here, move |_| Some(state(old, new)));
        let pool = Pool { backend: "app".into(), source: "old".into(), target: "new".into() };
        let place = Place::read(&socket, Path::new("/"));
        let address = segue_contract::Address::new("route.haproxy.lb");
        let runtime = Runtime::new(&address, place, std::time::Duration::from_secs(5));
        let seen = pool.there(&runtime).expect("both are there");
        assert_eq!(seen.at(), at);
        assert_eq!(seen.turn(Side::Target), commands, "{old:?} {new:?}");
    }
}
