//! The stored state: the same answers from each store, and a damaged sled told, set aside and made anew.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    Batch, CatchUpError, Fold, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryStore, SledStore, StateStore,
    StoreError, catch_up,
};
use crate::clock::ManualClock;
use crate::directory::StateDirectory;
use crate::journal::{Frame, Journal, JournalError, JournalOptions, Mark, NoTap, Seq};
use crate::lock::WriterLock;

const DAMAGES: u64 = 150;

fn lock(root: &Path) -> Arc<WriterLock> {
    let clock = ManualClock::new(0, "boot");
    let (directory, _) = StateDirectory::open_or_create(&root.join("state"), &clock).unwrap();
    Arc::new(WriterLock::acquire(&directory, "segue test", &clock).unwrap())
}

fn mark(seq: u64) -> Mark {
    Mark { seq: Seq(seq), checksum: seq * 7 }
}

fn all(store: &dyn StateStore, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreError> {
    let mut seen = BTreeMap::new();
    store.visit(prefix, &mut |key, value| {
        seen.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

/// What every store must do, and where it stands in the end.
fn behaves(store: &mut dyn StateStore) {
    assert_eq!(store.stands_at(), None);
    let large = vec![b'x'; 100_000];
    let mut batch = Batch::default();
    batch.put("unit/a", "1");
    batch.put("unit/b", large.clone());
    batch.put("unit/b", "overwritten in the same batch");
    batch.put("unit/c", large.clone());
    batch.put("units", "");
    batch.remove("unit/nothing");
    store.put(&batch, mark(3)).unwrap();
    assert_eq!(store.stands_at(), Some(mark(3)));
    assert_eq!(store.get(b"unit/c").unwrap().unwrap(), large);
    assert_eq!(store.get(b"units").unwrap().unwrap(), b"");
    assert_eq!(store.get(b"unit").unwrap(), None);
    let keys: Vec<_> = all(store, b"unit/").unwrap().into_keys().collect();
    assert_eq!(keys, [b"unit/a", b"unit/b", b"unit/c"]);
    let mut batch = Batch::default();
    batch.put("unit/c", vec![b'y'; 20_000]);
    batch.remove("unit/a");
    store.put(&batch, mark(4)).unwrap();
    assert_eq!(store.get(b"unit/c").unwrap().unwrap(), vec![b'y'; 20_000]);
    assert_eq!(store.get(b"unit/a").unwrap(), None);
    let mut first = None;
    store
        .visit(b"", &mut |key, _| {
            first = Some(key.to_vec());
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(first.unwrap(), b"unit/b");
    let mut batch = Batch::default();
    batch.put("huge", vec![0; MAX_VALUE_BYTES + 1]);
    assert!(matches!(store.put(&batch, mark(5)), Err(StoreError::Size { .. })));
    assert_eq!(store.stands_at(), Some(mark(4)));
}

#[test]
fn both_stores_behave_alike() {
    let temporary = tempfile::tempdir().unwrap();
    let lock = lock(temporary.path());
    let mut memory = MemoryStore::default();
    let mut sled = SledStore::open(&lock).unwrap().store;
    behaves(&mut memory);
    behaves(&mut sled);
    assert_eq!(all(&memory, b"").unwrap(), all(&sled, b"").unwrap());
    drop(sled);
    let mut sled = SledStore::open(&lock).unwrap().store;
    assert_eq!(sled.stands_at(), Some(mark(4)));
    assert_eq!(all(&memory, b"").unwrap(), all(&sled, b"").unwrap());
    sled.clear().unwrap();
    assert_eq!((sled.stands_at(), all(&sled, b"").unwrap().len()), (None, 0));
    behaves(&mut sled);
}

#[test]
fn files_of_the_store_are_private_and_no_value_has_a_file_of_its_own() {
    let temporary = tempfile::tempdir().unwrap();
    let lock = lock(temporary.path());
    let mut store = SledStore::open(&lock).unwrap().store;
    let path = lock.directory().sled();
    // Sled orders a batch at random, and what goes to a file depends on it: several rounds, growing in place.
    for round in 1..=8 {
        let mut batch = Batch::default();
        for unit in 0..200 {
            let key = format!("{unit:0>width$}", width = MAX_KEY_BYTES - unit % 7);
            batch.put(key, vec![b'x'; 4000 * round]);
        }
        store.put(&batch, mark(round as u64)).unwrap();
        assert_eq!(std::fs::read_dir(path.join("blobs")).unwrap().count(), 0);
    }
    drop(store);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(path.join("db")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(path.join("blobs")).unwrap().count(), 0);
}

/// Counts bytes by the first letter of the event; refuses events that begin with `!`.
#[derive(Default)]
struct Bytes(BTreeMap<u8, u64>);

#[derive(Debug, thiserror::Error)]
#[error("it begins with `!`")]
struct Refused;

impl Fold for Bytes {
    type Error = Refused;

    fn apply(&mut self, event: &Frame<'_>, changes: &mut Batch) -> Result<(), Refused> {
        let letter = event.payload[0];
        if letter == b'!' {
            return Err(Refused);
        }
        let bytes = self.0.entry(letter).or_default();
        *bytes += event.payload.len() as u64;
        changes.put([letter], bytes.to_le_bytes());
        Ok(())
    }
}

fn journal_with(lock: &Arc<WriterLock>, events: u64) -> PathBuf {
    let options = JournalOptions { reserve_bytes: 4096, growth_bytes: 4096, ..JournalOptions::default() };
    let (journal, _) = Journal::open(lock, options, &[], NoTap).unwrap();
    let tickets: Vec<_> = (0..events)
        .map(|n| {
            let letter = char::from(b'a' + u8::try_from(n % 26).unwrap());
            journal.append(format!("{letter}{n}"))
        })
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    journal.close().unwrap();
    lock.directory().journal()
}

fn loaded(store: &dyn StateStore) -> Bytes {
    let values = all(store, b"").unwrap();
    Bytes(
        values
            .into_iter()
            .map(|(key, value)| (key[0], u64::from_le_bytes(value.try_into().unwrap())))
            .collect(),
    )
}

#[test]
fn a_store_catches_up_from_where_it_stands_and_equals_one_made_anew() {
    let temporary = tempfile::tempdir().unwrap();
    let lock = lock(temporary.path());
    let mut store = SledStore::open(&lock).unwrap().store;
    for (round, events) in [700, 0, 9000].into_iter().enumerate() {
        let journal = journal_with(&lock, events);
        let mut fold = loaded(&store);
        let caught_up = catch_up(&journal, &mut store, &mut fold).unwrap();
        assert_eq!((caught_up.events, caught_up.store_failed), (events, None), "round {round}");
        assert_eq!(store.stands_at(), caught_up.reading.last);
    }
    let mut anew = MemoryStore::default();
    catch_up(&lock.directory().journal(), &mut anew, &mut Bytes::default()).unwrap();
    assert_eq!(all(&anew, b"").unwrap(), all(&store, b"").unwrap());
}

#[test]
fn an_event_that_is_not_understood_stops_everything() {
    let temporary = tempfile::tempdir().unwrap();
    let lock = lock(temporary.path());
    let path = journal_with(&lock, 5);
    let (journal, _) = Journal::open(&lock, JournalOptions::default(), &[], NoTap).unwrap();
    journal.append("!").wait().unwrap();
    let mut store = MemoryStore::default();
    let error = catch_up(&path, &mut store, &mut Bytes::default()).unwrap_err();
    assert!(matches!(error, CatchUpError::Event { seq: Seq(6), .. }));
    assert_eq!(error.to_string(), "event 6 of the journal cannot be understood: it begins with `!`");
}

#[test]
fn a_journal_behind_the_store_is_damage() {
    let temporary = tempfile::tempdir().unwrap();
    let lock = lock(temporary.path());
    let path = journal_with(&lock, 5);
    let mut store = MemoryStore::default();
    store.put(&Batch::default(), mark(6)).unwrap();
    let error = catch_up(&path, &mut store, &mut Bytes::default()).unwrap_err();
    assert!(matches!(error, CatchUpError::Journal(JournalError::Damaged(_))));
    store.put(&Batch::default(), mark(3)).unwrap();
    let error = catch_up(&path, &mut store, &mut Bytes::default()).unwrap_err();
    assert!(error.to_string().contains("another or an older journal"), "{error}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    segue_contract::paths::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One random damage; the weights lean to the one large file.
fn damage(directory: &Path, dice: &mut impl FnMut(u64) -> u64) -> String {
    let files = files(directory);
    let path = match dice(4) {
        0 => files[usize::try_from(dice(files.len() as u64)).unwrap()].clone(),
        _ => directory.join("db"),
    };
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len().max(1);
    // Most of sled's file is room ahead; aim at where the records are as often as at the rest.
    let at = if dice(2) == 0 { dice(length) } else { dice(length.min(64 * 1024)) };
    match dice(4) {
        0 => {
            file.set_len(at).unwrap();
            format!("{} cut to {at} of {length}", path.display())
        }
        1 => {
            file.write_all_at(&[0; 4096], at / 4096 * 4096).unwrap();
            format!("4 KiB zeroed at {at} of {}", path.display())
        }
        2 => {
            std::fs::remove_file(&path).unwrap();
            format!("{} removed", path.display())
        }
        _ => {
            let mut byte = [0];
            if file.read_exact_at(&mut byte, at).is_ok() {
                file.write_all_at(&[byte[0] ^ (1 << dice(8))], at).unwrap();
            }
            format!("a bit flipped at {at} of {}", path.display())
        }
    }
}

#[test]
fn every_random_damage_to_sled_ends_in_the_same_state() {
    let seed = std::env::var("SEGUE_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| u64::from_le_bytes(crate::directory::random_bytes().unwrap()));
    println!("SEGUE_TEST_SEED={seed}");
    let mut state = seed;
    // Knuth's MMIX generator; its upper half is random enough to choose a byte.
    let mut dice = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let temporary = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let lock = lock(temporary.path());
    let journal = journal_with(&lock, 2000);
    let mut store = SledStore::open(&lock).unwrap().store;
    catch_up(&journal, &mut store, &mut Bytes::default()).unwrap();
    let right = all(&store, b"").unwrap();
    drop(store);
    let sled = lock.directory().sled();
    let whole = temporary.path().join("whole");
    copy(&sled, &whole);
    let mut set_aside = 0;
    for _ in 0..DAMAGES {
        std::fs::remove_dir_all(&sled).unwrap();
        copy(&whole, &sled);
        let what = damage(&sled, &mut dice);
        let mut opened = SledStore::open(&lock).unwrap_or_else(|e| panic!("{what}: {e}"));
        if let Some(aside) = opened.set_aside.take() {
            set_aside += 1;
            assert_eq!(opened.store.stands_at(), None, "{what}");
            std::fs::remove_dir_all(aside.path).unwrap();
        }
        let mut fold = loaded(&opened.store);
        let caught_up = catch_up(&journal, &mut opened.store, &mut fold).unwrap();
        assert_eq!(caught_up.store_failed, None, "{what}");
        assert_eq!(all(&opened.store, b"").unwrap(), right, "{what}");
    }
    println!("{set_aside} of {DAMAGES} set aside");
    assert!(set_aside > 0);
}
