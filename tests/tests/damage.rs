//! A journal that something damaged: it is told with the last good event, or its torn end is cut off; never a panic, and
//! never another live side.

#![expect(clippy::expect_used, reason = "a test cannot go on without its files")]

use std::path::{Path, PathBuf};

use segue_tests::{Random, Scratch, rounds, run};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// The journal's segments, oldest first, with their contents.
fn segments(journal: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(journal)
        .expect("the journal")
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let content = segue_contract::paths::read(&path).expect("a segment");
            (path, content)
        })
        .collect();
    found.sort();
    found
}

/// Where a segment's events end: the rest is reserved space.
fn used(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Damages one of the journal's files, and says how.
fn damage(journal: &Path, random: &mut Random) -> String {
    let segments = segments(journal);
    let (path, content) = &segments[random.below(segments.len() as u64) as usize];
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut content = content.clone();
    let end = used(&content).max(1);
    let at = random.below(end as u64) as usize;
    let what = match random.below(6) {
        0 | 1 => {
            let bit = random.below(8);
            content[at] ^= 1 << bit;
            format!("{name}: bit {bit} of byte {at} flipped")
        }
        2 => {
            content.truncate(at);
            format!("{name}: cut to {at} bytes of {end}")
        }
        3 => {
            let length = (1 + random.below(300) as usize).min(end - at);
            content[at..at + length].fill(0);
            format!("{name}: {length} bytes zeroed at {at}")
        }
        4 => {
            std::fs::remove_file(path).expect("removed");
            return format!("{name}: gone");
        }
        _ => {
            let from = random.below(end as u64) as usize;
            let length = (1 + random.below(300) as usize).min(end - at.max(from));
            let piece = content[from..from + length].to_vec();
            content[at..at + length].copy_from_slice(&piece);
            format!("{name}: {length} bytes of {from} copied to {at}")
        }
    };
    std::fs::remove_file(path).expect("removed");
    let mut file = segue_contract::paths::create_private(path).expect("a segment");
    std::io::Write::write_all(&mut file, &content).expect("written");
    what
}

#[test]
fn a_damaged_journal_is_told_or_cut_and_never_changes_who_serves() {
    let mut random = Random::seeded("damaged_journal");
    let scratch = Scratch::new();
    scratch.segue(&APPLY).expect_code(0);
    let at = |name: &str| scratch.at(name).display().to_string();
    run("cp", &["-a", &at(".segue/journal"), &at("journal")]);
    let (mut told, mut cut) = (0, 0);
    for round in 1..=rounds(60, 300) {
        run("rm", &["-rf", &at(".segue/journal")]);
        run("cp", &["-a", &at("journal"), &at(".segue/journal")]);
        let what = damage(&scratch.at(".segue/journal"), &mut random);
        let status = scratch.segue(&["status"]);
        let apply = scratch.segue(&APPLY);
        for ran in [&status, &apply] {
            assert!(
                matches!(ran.code, Some(0 | 1)) && !ran.all().contains("panicked"),
                "round {round}, {what}: {}",
                ran.all()
            );
        }
        assert_eq!(scratch.live(), "new", "round {round}, {what}: {}", apply.all());
        assert!(!scratch.at("var/paused").exists(), "round {round}, {what}: {}", apply.all());
        if apply.code == Some(0) {
            cut += 1;
            assert_eq!(scratch.serves(), "target", "round {round}, {what}: {}", apply.all());
        } else {
            told += 1;
            assert!(
                apply.all().contains("journal") || apply.all().contains("old copy"),
                "round {round}, {what}: {}",
                apply.all()
            );
            assert!(
                apply.stderr.contains("next:") || apply.stdout.contains("next:"),
                "{what}: {}",
                apply.all()
            );
        }
    }
    println!("{told} told, {cut} cut or harmless");
    assert!(told > 0, "no damage at all was told");
}

/// Every regular file below a directory.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Spoils one of a directory's files, and says how.
fn spoil(directory: &Path, random: &mut Random) -> String {
    let files = files_below(directory);
    let path = &files[random.below(files.len() as u64) as usize];
    let mut content = segue_contract::paths::read(path).expect("a file");
    let place = random.below(content.len() as u64) as usize;
    let what = match random.below(4) {
        0 => {
            content.truncate(place);
            format!("{} cut to {place}", path.display())
        }
        1 => {
            content.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
            format!("{} is noise", path.display())
        }
        2 => {
            content.clear();
            format!("{} is empty", path.display())
        }
        _ => {
            if let Some(byte) = content.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
            format!("{} has another bit at {place}", path.display())
        }
    };
    std::fs::remove_file(path).expect("removed");
    let mut file = segue_contract::paths::create_private(path).expect("a file");
    std::io::Write::write_all(&mut file, &content).expect("written");
    what
}

/// The store is a cache of the journal: whatever happens to its files, it is made anew, or was not touched where it
/// matters, and the state is what the journal says.
#[test]
fn a_damaged_store_is_made_anew_and_nothing_is_lost() {
    let mut random = Random::seeded("damaged_store");
    let scratch = Scratch::new();
    scratch.segue(&APPLY).expect_code(0);
    let at = |name: &str| scratch.at(name).display().to_string();
    for part in ["journal", "sled"] {
        run("cp", &["-a", &at(&format!(".segue/{part}")), &at(part)]);
    }
    let mut told = 0;
    for round in 1..=rounds(40, 300) {
        for part in ["journal", "sled"] {
            run("rm", &["-rf", &at(&format!(".segue/{part}"))]);
            run("cp", &["-a", &at(part), &at(&format!(".segue/{part}"))]);
        }
        let what = spoil(&scratch.at(".segue/sled"), &mut random);
        let apply = scratch.segue(&APPLY);
        assert!(
            apply.code == Some(0) && !apply.all().contains("panicked"),
            "round {round}, {what}: {}",
            apply.all()
        );
        assert_eq!(scratch.serves(), "target", "round {round}, {what}: {}", apply.all());
        assert_eq!(scratch.live(), "new", "round {round}, {what}: {}", apply.all());
        told += usize::from(apply.stderr.contains("made anew"));
    }
    println!("{told} stores were made anew");
    assert!(told > 0, "no damage at all was told");
}

#[test]
fn damage_in_the_middle_is_told_with_the_last_good_event() {
    let scratch = Scratch::new();
    scratch.segue(&APPLY).expect_code(0);
    let (path, mut content) = segments(&scratch.at(".segue/journal")).remove(0);
    let middle = used(&content) / 2;
    content[middle] ^= 0x10;
    segue_contract::paths::replace(&path, &content).expect("replaced");
    for command in [&APPLY[..], &["status"], &["switch-back", "cutover.site", "--auto-approve"]] {
        let told = scratch.segue(command).expect_code(1);
        assert!(told.stderr.contains("last good event"), "{}", told.all());
        assert_eq!(scratch.live(), "new");
    }
}
