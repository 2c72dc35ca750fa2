//! The state in sled 0.34: the only file that names it.
//!
//! What it needs, measured before it was chosen: `flush` does not sync on Linux, so the file is synced after
//! it; values stay under 4 KiB, because larger ones end in files that are never synced; opening a damaged
//! database can panic, which is caught; nothing tells of lost records, which the digest of `record` does.

use std::cell::Cell;
use std::fs::{DirBuilder, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::thread::sleep;
use std::time::{Duration, Instant};

use segue_contract::paths::{self, PathError};

use super::record::{META_KEY, Meta, Stored, checksum, chunk_key, encode, record_key};
use super::{Batch, StateStore, StoreError, Visitor};
use crate::journal::Mark;
use crate::lock::WriterLock;

/// Of its cache, in bytes; without a bound it keeps the whole database in memory.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Sled lets go of its file a little after it is dropped (its threads end by themselves), and a child between
/// fork and exec has it, too. The writer's lock is ours, so nobody else can have it for longer.
const RELEASE_WAIT: Duration = Duration::from_secs(5);
const RELEASE_PAUSE: Duration = Duration::from_millis(2);

/// The stored state on disk. It knows how to be told from a damaged one, and the writer's lock is its own.
pub struct SledStore {
    /// `None` only while it is being dropped or replaced.
    db: Option<sled::Db>,
    file: File,
    path: PathBuf,
    meta: Meta,
    lock: Arc<WriterLock>,
}

/// A store, and the damaged one that it replaces.
pub struct OpenedStore {
    /// The store. It stands at no event when it is new.
    pub store: SledStore,
    /// What was set aside: tell it, and fill the store from the journal.
    pub set_aside: Option<SetAside>,
}

/// A damaged store that was moved out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

impl SledStore {
    /// Opens the store of the lock's state directory and checks every record of it. A damaged one, one of
    /// another format, or one whose opening panics is set aside and a new one made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] on a full disk or without permission: nothing was changed, and the run
    /// can go on with a [`super::MemoryStore`].
    pub fn open(lock: &Arc<WriterLock>) -> Result<OpenedStore, StoreError> {
        let path = lock.directory().sled();
        match Self::open_at(&path, lock) {
            Ok(store) => Ok(OpenedStore { store, set_aside: None }),
            Err(StoreError::Damaged { why, .. }) => {
                let aside = lock.directory().set_aside(&path)?;
                Ok(OpenedStore {
                    store: Self::open_at(&path, lock)?,
                    set_aside: Some(SetAside { path: aside, why }),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn open_at(path: &Path, lock: &Arc<WriterLock>) -> Result<Self, StoreError> {
        let is_new = !path.exists();
        if is_new {
            DirBuilder::new().mode(0o700).create(path).map_err(|e| unavailable(path, &e))?;
        }
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            // Every batch is synced when it is made; a thread that syncs on its own only logs its errors.
            .flush_every_ms(None);
        let db = guarded(path, || open_once_released(&config))?;
        private_files(path).map_err(|e| unavailable(path, &e))?;
        let file = paths::open(&path.join("db"))?;
        let mut store =
            Self { db: Some(db), file, path: path.to_owned(), meta: Meta::default(), lock: Arc::clone(lock) };
        if is_new {
            store.write(sled::Batch::default(), Meta::default())?;
            paths::sync_dir(path)?;
            paths::sync_dir(lock.directory().root())?;
        } else {
            store.meta = store.checked()?;
        }
        Ok(store)
    }

    /// The meta record, once every record was seen and adds up to it.
    fn checked(&self) -> Result<Meta, StoreError> {
        let blobs = self.path.join("blobs");
        if std::fs::read_dir(&blobs).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(self.damaged("it has values in files of their own, which are never synced"));
        }
        let bytes = self.read(META_KEY)?.ok_or_else(|| self.damaged("its first record is missing"))?;
        let meta = Meta::decode(&bytes).map_err(|why| self.damaged(why))?;
        let mut seen = Meta { at: meta.at, ..Meta::default() };
        self.visit(b"", &mut |key, value| {
            seen.add(checksum(key, value));
            ControlFlow::Continue(())
        })?;
        if seen == meta {
            Ok(meta)
        } else {
            Err(self.damaged(format!(
                "it has {} records, and they are not the {} that were written",
                seen.count, meta.count
            )))
        }
    }

    fn db(&self) -> Result<&sled::Db, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Unavailable {
            path: self.path.clone(),
            why: "it failed before, or is closed".to_owned(),
        })
    }

    fn read(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let db = self.db()?;
        guarded(&self.path, || db.get(key))
    }

    fn damaged(&self, why: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why: why.into() }
    }

    /// The value that belongs to a head record.
    fn value(&self, key: &[u8], record: &[u8]) -> Result<Vec<u8>, StoreError> {
        let named = || String::from_utf8_lossy(key).into_owned();
        let stored =
            Stored::decode(record).ok_or_else(|| self.damaged(format!("`{}` cannot be read", named())))?;
        let mut value = Vec::with_capacity(stored.length);
        value.extend_from_slice(stored.first);
        for number in 0..stored.chunks() {
            match self.read(&chunk_key(key, number))? {
                Some(chunk) => value.extend_from_slice(&chunk),
                None => return Err(self.damaged(format!("a part of `{}` is missing", named()))),
            }
        }
        if checksum(key, &value) == stored.checksum {
            Ok(value)
        } else {
            Err(self.damaged(format!("`{}` has a bad checksum", named())))
        }
    }

    /// Takes out what a key had before, if it had anything.
    fn forget(&self, key: &[u8], changes: &mut sled::Batch, meta: &mut Meta) -> Result<(), StoreError> {
        let record_key = record_key(key);
        if let Some(record) = self.read(&record_key)? {
            let stored = Stored::decode(&record)
                .ok_or_else(|| self.damaged(format!("`{}` cannot be read", String::from_utf8_lossy(key))))?;
            meta.subtract(stored.checksum);
            for number in 0..stored.chunks() {
                changes.remove(chunk_key(key, number));
            }
            changes.remove(record_key);
        }
        Ok(())
    }

    /// One atomic batch with the meta record, on the disk when this returns.
    fn write(&mut self, mut changes: sled::Batch, meta: Meta) -> Result<(), StoreError> {
        changes.insert(META_KEY, meta.encode());
        let written = {
            let db = self.db()?;
            guarded(&self.path, || {
                db.apply_batch(changes)?;
                db.flush()
            })
            .and_then(|_| self.file.sync_data().map_err(|e| unavailable(&self.path, &e)))
        };
        match written {
            Ok(()) => {
                self.meta = meta;
                Ok(())
            }
            Err(error) => {
                // What it has in memory may not be what is on the disk: it is not asked again.
                self.close();
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        let db = self.db.take();
        // Dropping flushes, which can panic on a damaged file; nothing that counts depends on it.
        let _ = quietly(|| drop(db));
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl StateStore for SledStore {
    fn stands_at(&self) -> Option<Mark> {
        self.meta.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.read(&record_key(key))? {
            Some(record) => self.value(key, &record).map(Some),
            None => Ok(None),
        }
    }

    fn visit(&self, prefix: &[u8], visit: Visitor<'_>) -> Result<(), StoreError> {
        let db = self.db()?;
        let mut records = guarded(&self.path, || Ok(db.scan_prefix(record_key(prefix))))?;
        while let Some((key, record)) = guarded(&self.path, || records.next().transpose())? {
            let key = key.get(1..).unwrap_or_default();
            if visit(key, &self.value(key, &record)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, batch: &Batch, at: Mark) -> Result<(), StoreError> {
        batch.check()?;
        let mut changes = sled::Batch::default();
        let mut meta = Meta { at: Some(at), ..self.meta };
        for (key, value) in batch.net() {
            self.forget(key, &mut changes, &mut meta)?;
            if let Some(value) = value {
                let encoded = encode(key, value);
                changes.insert(record_key(key), encoded.record);
                for (number, chunk) in (0..).zip(encoded.chunks) {
                    changes.insert(chunk_key(key, number), chunk);
                }
                meta.add(encoded.checksum);
            }
        }
        self.write(changes, meta)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.close();
        match std::fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(PathError::new("remove", &self.path, e).into());
            }
            _ => {}
        }
        let lock = Arc::clone(&self.lock);
        *self = Self::open_at(&self.path, &lock)?;
        Ok(())
    }
}

/// Runs what may fail or panic inside sled, and sorts the failure: the disk's, or damage.
fn guarded<T>(path: &Path, run: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match quietly(run) {
        Ok(Ok(value)) => Ok(value),
        // An error with a number comes from the system; sled's own words for damage are I/O errors, too.
        Ok(Err(sled::Error::Io(e)))
            if e.raw_os_error().is_some() || e.kind() == io::ErrorKind::StorageFull =>
        {
            Err(unavailable(path, &e))
        }
        Ok(Err(sled::Error::Io(e))) if e.to_string().contains("could not acquire lock") => {
            Err(unavailable(path, &e))
        }
        Ok(Err(e)) => Err(StoreError::Damaged { path: path.to_owned(), why: e.to_string() }),
        Err(why) => Err(StoreError::Damaged { path: path.to_owned(), why }),
    }
}

fn open_once_released(config: &sled::Config) -> sled::Result<sled::Db> {
    let started = Instant::now();
    loop {
        match config.open() {
            Err(e) if is_locked(&e) && started.elapsed() < RELEASE_WAIT => sleep(RELEASE_PAUSE),
            other => return other,
        }
    }
}

/// Its file is locked by another handle; sled has only words for it.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("could not acquire lock"))
}

thread_local! {
    /// A panic on this thread is caught and told as an error, not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Catches a panic of sled's; its words are the error.
fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                print(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(before);
    outcome.map_err(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        words.unwrap_or("it cannot be read").to_owned()
    })
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable { path: path.to_owned(), why: error.to_string() }
}

/// Sled makes its files with the process's umask.
fn private_files(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CACHE_BYTES, SledStore, open_once_released};
    use crate::clock::ManualClock;
    use crate::directory::StateDirectory;
    use crate::journal::{Mark, Seq};
    use crate::lock::WriterLock;
    use crate::store::record::{META_KEY, encode, record_key};
    use crate::store::{Batch, StateStore};

    /// Changes a whole store behind its back, and returns why it was set aside.
    fn set_aside_after(change: impl FnOnce(&sled::Db)) -> Option<String> {
        let temporary = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(0, "boot");
        let (directory, _) = StateDirectory::open_or_create(&temporary.path().join("state"), &clock).unwrap();
        let lock = Arc::new(WriterLock::acquire(&directory, "segue test", &clock).unwrap());
        let mut store = SledStore::open(&lock).unwrap().store;
        let mut batch = Batch::default();
        for unit in ["a", "b", "c"] {
            batch.put(unit, unit);
        }
        let at = Mark { seq: Seq(1), checksum: 1 };
        store.put(&batch, at).unwrap();
        drop(store);
        let config = sled::Config::new().path(directory.sled()).cache_capacity(CACHE_BYTES);
        let db = open_once_released(&config).unwrap();
        change(&db);
        drop(db);
        SledStore::open(&lock).unwrap().set_aside.map(|aside| aside.why)
    }

    #[test]
    fn a_record_that_was_lost_or_is_stale_without_a_word_is_noticed() {
        assert_eq!(set_aside_after(|_| {}), None);
        let lost = set_aside_after(|db| assert!(db.remove(record_key(b"b")).unwrap().is_some()));
        assert!(lost.unwrap().contains("2 records"));
        let stale = set_aside_after(|db| {
            db.insert(record_key(b"b"), encode(b"b", b"older").record).unwrap();
        });
        assert!(stale.unwrap().contains("they are not the 3"));
        let no_meta = set_aside_after(|db| assert!(db.remove(META_KEY).unwrap().is_some()));
        assert!(no_meta.unwrap().contains("first record is missing"));
    }
}
