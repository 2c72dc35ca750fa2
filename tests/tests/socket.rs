//! Others beside a running apply: clients of its control socket that vanish or talk nonsense, and a second apply. The run
//! goes on as if nobody had come.

#![expect(clippy::expect_used, reason = "a test cannot go on without its socket")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use segue_tests::{Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
/// Clients that come and go in one test.
const CLIENTS: usize = 240;

/// Clients that have come before the writers pause.
const ENOUGH: usize = 40;

/// An apply whose pause lasts until there is a file `go`.
fn pausing(scratch: &Scratch) -> Running {
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", "./app pause; : >pausing; while [ ! -e go ]; do sleep 0.01; done");
    let apply = Running::new(scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    apply
}

fn connect(scratch: &Scratch) -> UnixStream {
    let stream = UnixStream::connect(scratch.at(".segue/socket")).expect("the socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

/// One client that does not behave.
fn misbehave(scratch: &Scratch, which: usize) {
    let mut stream = connect(scratch);
    // A server that closed the connection is right to: writing to it may fail.
    let _ = match which % 8 {
        // Comes and goes.
        0 => Ok(()),
        // Half a question.
        1 => stream.write_all(b"{\"ask\":\"sta"),
        // A whole question, and nobody there for the answer.
        2 => stream.write_all(b"{\"ask\":\"status\"}\n"),
        // No question.
        3 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
        4 => stream.write_all(&[0xff, 0xfe, 0x00, b'\n']),
        // Nothing but a promise that nothing comes.
        5 => stream.shutdown(Shutdown::Write),
        // Reads one byte of the answer.
        6 => stream.write_all(b"{\"ask\":\"status\"}\n").and_then(|()| stream.read_exact(&mut [0])),
        // Never ends its line.
        _ => (0..40).try_for_each(|_| stream.write_all(&[b'x'; 4096])),
    };
}

#[test]
fn clients_that_vanish_or_talk_nonsense_cost_nothing_but_their_connection() {
    let scratch = Scratch::new();
    let apply = pausing(&scratch);
    // Some stay, and say nothing.
    let idle: Vec<UnixStream> = (0..32).map(|_| connect(&scratch)).collect();
    for which in 0..CLIENTS {
        misbehave(&scratch, which);
    }
    assert_eq!(scratch.status()["cutovers"][0]["phase"], "quiescing", "who asks properly is answered");
    scratch.write("go", "");
    apply.wait().expect_code(0);
    drop(idle);
    scratch.settled_at("new");
}

#[test]
fn clients_that_vanish_do_not_delay_a_load_and_a_switch() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    // The writers pause only when enough clients have come, however slow the machine is.
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", "while [ ! -e go ]; do sleep 0.01; done; ./app pause");
    let mut apply = Running::new(&scratch, &APPLY);
    let mut came = 0;
    while !apply.ended() {
        if let Ok(mut stream) = UnixStream::connect(scratch.at(".segue/socket")) {
            let _ = stream.write_all(b"{\"ask\":\"status\"}\n");
            came += 1;
        }
        if came == ENOUGH {
            scratch.write("go", "");
        }
    }
    apply.wait().expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn a_second_apply_in_the_pause_is_told_who_holds_it_and_touches_nothing() {
    let scratch = Scratch::new();
    let apply = pausing(&scratch);
    for command in [&APPLY[..], &["switch-back", "cutover.site"], &["unhold", "cutover.site"]] {
        let second = scratch.segue(command).expect_code(6);
        let holder = format!("process {}", apply.pid());
        assert!(second.stderr.contains(&holder), "{holder}: {}", second.all());
    }
    assert!(scratch.at("var/paused").exists(), "the pause goes on");
    assert_eq!(scratch.live(), "old");
    scratch.write("go", "");
    apply.wait().expect_code(0);
    scratch.settled_at("new");
}
