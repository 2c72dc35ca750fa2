//! Markers: who wins, who is refused, and where they lie.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use segue_contract::{Endpoint, Marker, MarkerError, paths};

use super::{Mounted, claim, is_root, mkdir, scratch, source};
use crate::directory::Directory;
use crate::testing::Io;

fn write(at: &Path, state: &str, epoch: u64) -> Result<(), MarkerError> {
    Directory.write_marker(&source(at), &claim(state, epoch), &Io::default())
}

fn read(at: &Path) -> Option<Marker> {
    Directory.marker(&source(at), &Io::default()).unwrap()
}

fn remove(at: &Path, state: &str) -> Result<(), MarkerError> {
    Directory.remove_marker(&source(at), state, &Io::default())
}

fn refused(result: Result<(), MarkerError>) -> Marker {
    match result {
        Err(MarkerError::Refused(there)) => *there,
        other => panic!("not refused: {other:?}"),
    }
}

fn names(at: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn of_two_states_that_claim_at_once_exactly_one_wins() {
    for _ in 0..20 {
        let (_keep, dir) = scratch();
        let start = Barrier::new(16);
        let won: Vec<&str> = thread::scope(|scope| {
            let claims: Vec<_> = (0..16)
                .map(|n| {
                    let (start, dir) = (&start, &dir);
                    scope.spawn(move || {
                        let state = if n % 2 == 0 { "even" } else { "odd" };
                        start.wait();
                        match write(dir, state, 1) {
                            Ok(()) => Some(state),
                            Err(MarkerError::Refused(there)) => {
                                assert_ne!(there.state_id, state);
                                None
                            }
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            claims.into_iter().filter_map(|c| c.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 8);
        assert!(won.iter().all(|state| *state == won[0]), "{won:?}");
        assert_eq!(read(&dir).unwrap().state_id, won[0]);
        remove(&dir, won[0]).unwrap();
        assert_eq!(names(&dir), [""; 0]);
    }
}

#[test]
fn claims_and_releases_at_once_never_leave_two_holders() {
    let (_keep, dir) = scratch();
    thread::scope(|scope| {
        for n in 0..8 {
            let dir = &dir;
            scope.spawn(move || {
                let state = format!("state-{n}");
                for _ in 0..25 {
                    if write(dir, &state, 1).is_ok() {
                        assert_eq!(read(dir).unwrap().state_id, state);
                        remove(dir, &state).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(read(&dir), None);
}

#[test]
fn an_older_attempt_and_another_state_are_refused() {
    let (_keep, dir) = scratch();
    write(&dir, "a", 3).unwrap();
    write(&dir, "a", 3).unwrap();
    assert_eq!(refused(write(&dir, "a", 2)).epoch, 3);
    assert_eq!(refused(write(&dir, "b", 9)).state_id, "a");
    assert_eq!(refused(remove(&dir, "b")).state_id, "a");
    write(&dir, "a", 4).unwrap();
    assert_eq!(read(&dir), Some(claim("a", 4).marker));
}

#[test]
fn adopting_takes_over_from_the_named_state_only() {
    let (_keep, dir) = scratch();
    write(&dir, "a", 3).unwrap();
    let mut adopt = claim("b", 4);
    adopt.adopt_from = Some("c".to_owned());
    refused(Directory.write_marker(&source(&dir), &adopt, &Io::default()));
    adopt.adopt_from = Some("a".to_owned());
    adopt.marker.epoch = 2;
    refused(Directory.write_marker(&source(&dir), &adopt, &Io::default()));
    adopt.marker.epoch = 4;
    Directory.write_marker(&source(&dir), &adopt, &Io::default()).unwrap();
    assert_eq!(read(&dir).unwrap().state_id, "b");
}

#[test]
fn a_damaged_marker_is_named_and_left_alone() {
    let (_keep, dir) = scratch();
    let file = dir.join(".segue-marker");
    let pieces: [&[u8]; 4] =
        [b"", b"{\"version\":1", b"{\"version\":1,\"marker\":{}}", b"{\"version\":2,\"marker\":7}"];
    for bytes in pieces {
        paths::replace(&file, bytes).unwrap();
        let error = Directory.marker(&source(&dir), &Io::default()).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
        assert!(Directory.observe(&source(&dir), &Io::default()).is_err());
        assert!(matches!(write(&dir, "a", 1), Err(MarkerError::Failed(_))));
        assert!(matches!(remove(&dir, "a"), Err(MarkerError::Failed(_))));
        assert_eq!(paths::read(&file).unwrap(), bytes);
    }
}

#[test]
fn a_symlink_in_the_markers_place_is_not_followed() {
    let (_keep, dir) = scratch();
    let victim = dir.join("victim");
    paths::replace(&victim, b"precious").unwrap();
    for name in [".segue-marker.lock", ".segue-marker.new"] {
        symlink(&victim, dir.join(name)).unwrap();
    }
    assert!(write(&dir, "a", 1).is_err());
    fs::remove_file(dir.join(".segue-marker.lock")).unwrap();
    write(&dir, "a", 1).unwrap();
    assert_eq!(paths::read(&victim).unwrap(), b"precious");
}

#[test]
fn without_the_directory_there_is_no_marker_and_nothing_to_remove() {
    let (_keep, dir) = scratch();
    let gone = dir.join("gone");
    assert_eq!(read(&gone), None);
    remove(&gone, "a").unwrap();
    assert!(matches!(write(&gone, "a", 1), Err(MarkerError::Failed(_))));
    remove(&dir, "a").unwrap();
}

#[test]
fn a_lock_that_a_crash_left_is_removed() {
    let (_keep, dir) = scratch();
    super::touch(&dir.join(".segue-marker.lock"));
    remove(&dir, "a").unwrap();
    assert_eq!(names(&dir), [""; 0]);
}

#[test]
fn the_marker_of_a_mount_point_lies_beside_it() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let root = mkdir(&dir.join("data")).to_owned();
    let mount = Mounted::tmpfs(&root);
    write(&root, "a", 1).unwrap();
    let by_hand = Directory.marker_by_hand(&source(&root));
    assert_eq!(by_hand, dir.join(".data.segue-marker").to_str().unwrap());
    assert!(Path::new(&by_hand).exists());
    assert_eq!(names(&root), [""; 0]);
    let remount = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&root).status();
    assert!(remount.unwrap().success());
    write(&root, "a", 2).unwrap();
    // Not mounted, the tree would look as if everything had been deleted.
    drop(mount);
    assert_eq!(read(&root).unwrap().epoch, 2);
    let findings = Directory.observe(&source(&root), &Io::default()).unwrap().findings;
    assert_eq!(findings[0].code, "DIR_NOT_MOUNTED");
    assert!(matches!(write(&root, "a", 3), Err(MarkerError::Failed(_))));
    remove(&root, "a").unwrap();
    assert_eq!(names(&dir), ["data"]);
}

#[test]
fn a_marker_inside_a_file_system_that_is_mounted_twice_is_seen() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let (whole, part) = (mkdir(&dir.join("whole")).to_owned(), mkdir(&dir.join("part")).to_owned());
    let _whole = Mounted::tmpfs(&whole);
    let inside = mkdir(&whole.join("x")).to_owned();
    write(&inside, "a", 1).unwrap();
    let _part = Mounted::bind(&inside, &part);
    assert_eq!(refused(write(&part, "b", 2)).state_id, "a");
}
