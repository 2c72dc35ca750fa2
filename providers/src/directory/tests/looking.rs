//! Findings, identities, pairs and provisioning.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use segue_contract::{BlockRef, Endpoint, EndpointFacts, Severity};

use super::{Mounted, claim, is_root, mkdir, scratch, source, target, touch};
use crate::directory::{Directory, schemas};
use crate::testing::Io;

fn seen(block: &BlockRef) -> EndpointFacts {
    Directory.observe(block, &Io::default()).unwrap()
}

fn codes(block: &BlockRef) -> Vec<String> {
    let seen = seen(block);
    let findings: Vec<_> = seen.findings.into_iter().chain(seen.foreign).collect();
    assert!(findings.iter().all(|f| f.severity == Severity::Critical && !f.remedy.is_empty()));
    findings.into_iter().map(|f| f.code).collect()
}

fn pair(s: &Path, t: &Path) -> Vec<String> {
    let found = Directory.check_pair(&source(s), &target(t));
    found.into_iter().map(|f| f.code).collect()
}

#[test]
fn findings_say_what_is_wrong_with_a_directory() {
    let (_keep, dir) = scratch();
    let full = mkdir(&dir.join("full")).to_owned();
    touch(&full.join("data"));
    let bare = mkdir(&dir.join("bare")).to_owned();
    mkdir(&bare.join("lost+found"));
    touch(&bare.join(".segue-marker.lock"));
    let users = mkdir(&dir.join("users")).to_owned();
    touch(&users.join(".segue-tmp-1"));
    let found = mkdir(&dir.join("fsck")).to_owned();
    mkdir(&found.join("lost+found/#12"));
    let file = dir.join("file");
    touch(&file);
    let dangling = dir.join("dangling");
    symlink("nowhere", &dangling).unwrap();
    let none: [&str; 0] = [];
    assert_eq!(codes(&source(&full)), none);
    assert_eq!(codes(&source(&dir.join("no"))), ["DIR_MISSING"]);
    assert_eq!(codes(&source(&dangling)), ["DIR_MISSING"]);
    assert_eq!(codes(&source(&file)), ["DIR_NOT_DIRECTORY"]);
    assert_eq!(codes(&target(&file)), ["DIR_NOT_DIRECTORY"]);
    assert_eq!(codes(&target(&file.join("below"))), ["DIR_NOT_DIRECTORY"]);
    assert_eq!(codes(&target(&dangling)), ["DIR_NOT_DIRECTORY"]);
    assert_eq!(codes(&target(&dangling.join("below"))), ["DIR_NOT_DIRECTORY"]);
    assert_eq!(codes(&target(&dir.join("no/deep"))), none);
    assert_eq!(codes(&target(&bare)), none);
    assert_eq!(codes(&target(&full)), ["DIR_NOT_EMPTY"]);
    assert_eq!(codes(&target(&found)), ["DIR_NOT_EMPTY"]);
    assert_eq!(codes(&target(&users)), ["DIR_NOT_EMPTY"]);
    Directory.write_marker(&target(&full), &claim("s", 1), &Io::default()).unwrap();
    assert_eq!(codes(&target(&full)), none);
    assert_eq!(seen(&target(&full)).marker, Some(claim("s", 1).marker));
}

#[test]
fn a_user_without_permission_is_told_before_anything_starts() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let closed = mkdir(&dir.join("closed")).to_owned();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    // Credentials are a thread's own.
    let user = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        assert_eq!(codes(&source(&closed)), ["DIR_NO_PERMISSION"]);
        assert_eq!(codes(&target(&closed)), ["DIR_NO_PERMISSION"]);
        assert_eq!(codes(&target(&dir.join("new/deep"))), ["DIR_NO_PERMISSION"]);
    });
    user.join().unwrap();
}

#[test]
fn a_read_only_target_is_told() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let _mount = Mounted::new(&["-t", "tmpfs", "-o", "ro", "segue-test"], &dir);
    assert_eq!(codes(&target(&dir)), ["DIR_NO_PERMISSION"]);
    assert_eq!(codes(&target(&dir.join("new"))), ["DIR_NO_PERMISSION"]);
    assert_eq!(seen(&target(&dir)).settings["file_system"], "tmpfs");
}

#[test]
fn identity_survives_making_the_directory_and_symlinks_on_the_way() {
    let (_keep, dir) = scratch();
    symlink(&dir, dir.join("link")).unwrap();
    let (plain, linked) = (target(&dir.join("a/b")), target(&dir.join("link/a/./c/../b")));
    let before = seen(&plain);
    assert!(!before.exists);
    assert_eq!(seen(&linked).identity, before.identity);
    assert!(Directory.provision(&linked, &Io::default()).unwrap());
    assert!(!Directory.provision(&plain, &Io::default()).unwrap());
    let after = seen(&plain);
    assert!(after.exists);
    assert_eq!(after.identity, before.identity);
    assert_eq!(after.settings, before.settings);
    assert_eq!(after.settings["name_max"], "255");
    assert_eq!(seen(&linked).identity, before.identity);
    assert_ne!(seen(&target(&dir.join("a"))).identity, before.identity);
}

#[test]
fn provision_refuses_a_file_in_the_way() {
    let (_keep, dir) = scratch();
    touch(&dir.join("file"));
    let error = Directory.provision(&target(&dir.join("file")), &Io::default()).unwrap_err();
    assert!(error.to_string().contains("is not a directory"), "{error}");
    assert!(Directory.provision(&target(&dir.join("file/below")), &Io::default()).is_err());
}

#[test]
fn one_directory_or_one_inside_the_other_is_refused() {
    let (_keep, dir) = scratch();
    let a = mkdir(&dir.join("a")).to_owned();
    mkdir(&a.join("sub"));
    let b = mkdir(&dir.join("ab")).to_owned();
    let link = dir.join("link");
    symlink(&a, &link).unwrap();
    let none: [&str; 0] = [];
    assert_eq!(pair(&a, &b), none);
    assert_eq!(pair(&a, &dir.join("new/deep")), none);
    assert_eq!(pair(&a, &a), ["DIR_SAME"]);
    assert_eq!(pair(&a, &link), ["DIR_SAME"]);
    assert_eq!(pair(&a, &a.join("sub")), ["DIR_INSIDE"]);
    assert_eq!(pair(&a, &link.join("not/yet")), ["DIR_INSIDE"]);
    assert_eq!(pair(&link.join("sub"), &a), ["DIR_INSIDE"]);
}

#[test]
fn bind_mounts_do_not_hide_that_directories_overlap() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let a = mkdir(&dir.join("a")).to_owned();
    mkdir(&a.join("sub"));
    let (all, sub) = (mkdir(&dir.join("all")).to_owned(), mkdir(&dir.join("part")).to_owned());
    let other = mkdir(&dir.join("other")).to_owned();
    let _all = Mounted::bind(&a, &all);
    let _sub = Mounted::bind(&a.join("sub"), &sub);
    assert_eq!(pair(&a, &all), ["DIR_SAME"]);
    assert_eq!(pair(&a, &all.join("new")), ["DIR_INSIDE"]);
    assert_eq!(pair(&a, &sub), ["DIR_INSIDE"]);
    assert_eq!(pair(&a, &sub.join("new/deep")), ["DIR_INSIDE"]);
    assert_eq!(pair(&sub, &all), ["DIR_INSIDE"]);
    let none: [&str; 0] = [];
    assert_eq!(pair(&a, &other), none);
    let _in = Mounted::bind(&a.join("sub"), mkdir(&other.join("x")));
    assert_eq!(pair(&a, &other), ["DIR_INSIDE"]);
}

#[test]
fn both_roles_take_a_path() {
    let schemas = schemas();
    assert_eq!(schemas.len(), 2);
    assert!(schemas.iter().all(|s| s.name == "directory" && s.attributes[0].required));
}
