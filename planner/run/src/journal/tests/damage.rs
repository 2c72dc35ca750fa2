//! A few hundred random damages to a journal: each is told with the last good event, or is provably a cut
//! of what never counted. Never a panic, never a silent loss below what is known.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use segue_contract::paths;

use super::super::{HeadState, Journal, JournalError, Mark, NoTap, Verdict, segment};
use super::{SMALL, Scene, copy_directory, read_checked, set_head, with_last_group};

const TRIALS: u64 = 400;

/// SplitMix64 (Steele, Lea, Flood 2014): all a test of damages needs, from one seed that can be printed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SEGUE_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| u64::from_le_bytes(crate::directory::random_bytes().unwrap()));
    println!("SEGUE_TEST_SEED={seed}");
    seed
}

fn files(journal: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = segment::list(journal).unwrap().into_iter().map(|(_, path)| path).collect();
    files.push(journal.join("head"));
    files
}

/// Does one damage and says which.
fn damage(journal: &Path, dice: &mut Dice) -> String {
    let files = files(journal);
    let segments = files.len() as u64 - 1;
    let any = |dice: &mut Dice, bound: u64| &files[usize::try_from(dice.below(bound)).unwrap()];
    let kind = dice.below(6);
    let path = any(dice, files.len() as u64);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = dice.below(length);
    match kind {
        0 | 1 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            let bit = 1 << dice.below(8);
            file.write_all_at(&[byte[0] ^ bit], at).unwrap();
            format!("bit {bit} flipped at {at} of {}", path.display())
        }
        2 => {
            file.set_len(at).unwrap();
            format!("{} cut to {at} of {length}", path.display())
        }
        3 => {
            let start = at / 4096 * 4096;
            let zeros = usize::try_from((length - start).min(4096)).unwrap();
            file.write_all_at(&vec![0; zeros], start).unwrap();
            format!("4 KiB of {} zeroed at {start}", path.display())
        }
        4 => {
            std::fs::remove_file(path).unwrap();
            format!("{} removed", path.display())
        }
        _ => {
            let (one, other) = (any(dice, segments), any(dice, segments));
            let aside = journal.join("aside");
            paths::rename(one, &aside).unwrap();
            if one != other {
                paths::rename(other, one).unwrap();
            }
            paths::rename(&aside, other).unwrap();
            format!("{} and {} swapped", one.display(), other.display())
        }
    }
}

fn check(scene: &Scene, what: &str, events: u64, proven: Mark, known: &[Mark]) {
    let (reading, shown) = read_checked(&scene.journal(), known);
    let floor = known.iter().map(|mark| mark.seq.0).chain([proven.seq.0]).max().unwrap();
    match &reading.verdict {
        Verdict::Damaged(damage) => {
            assert_eq!(damage.last_good.map_or(0, |mark| mark.seq.0), shown, "{what}");
            assert!(damage.to_string().contains("last good event is") || shown == 0, "{what}: {damage}");
        }
        Verdict::Clean | Verdict::TornTail { .. } => {
            let head_is_gone = matches!(reading.head, HeadState::Missing | HeadState::Unreadable);
            assert!(shown == events || head_is_gone || shown >= floor, "{what}: {shown} of {events}");
            // One damage at a time: where the head is gone the segments are whole.
            assert!(!head_is_gone || shown == events, "{what}: {shown} of {events}");
        }
        Verdict::Stopped => panic!("{what}: nobody stopped it"),
    }
    match Journal::open(&scene.lock, SMALL, known, NoTap) {
        Ok((journal, opened)) => {
            assert!(!matches!(reading.verdict, Verdict::Damaged(_)), "{what}");
            assert_eq!(opened.last, reading.last, "{what}");
            let mark = journal.append(super::event(shown + 1)).wait().unwrap();
            assert_eq!(mark.seq.0, shown + 1, "{what}");
        }
        Err(JournalError::Damaged(_)) => assert!(matches!(reading.verdict, Verdict::Damaged(_)), "{what}"),
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn every_random_damage_is_told_with_the_last_good_event() {
    let mut dice = Dice(seed());
    let scene = Scene::quick();
    let (before, last) = with_last_group(&scene, 290, 9);
    let whole = scene.lock.directory().root().join("whole");
    copy_directory(&scene.journal(), &whole);
    let (mut told, mut harmless) = (0, 0);
    for trial in 0..TRIALS {
        std::fs::remove_dir_all(scene.journal()).unwrap();
        copy_directory(&whole, &scene.journal());
        // After a power cut the head can be old; the store can be anywhere below it, or the best witness.
        let old_head = trial % 3 == 0;
        if old_head {
            set_head(&scene.journal(), before);
        }
        let proven = if old_head { before } else { last };
        let known: &[Mark] = if trial % 2 == 0 { &[] } else { &[last] };
        let what = damage(&scene.journal(), &mut dice);
        let (reading, _) = read_checked(&scene.journal(), known);
        match reading.verdict {
            Verdict::Damaged(_) => told += 1,
            _ => harmless += 1,
        }
        check(&scene, &what, last.seq.0, proven, known);
    }
    println!(
        "{told} told as damage, {harmless} hit nothing that counted (room ahead, the head, a swap with itself)"
    );
    assert!(told > TRIALS / 4 && harmless > 0);
}
