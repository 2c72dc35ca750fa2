//! The state directory `.segue`: what lies where in it, whose it is, and whether it is a copy of another.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};
use segue_contract::paths::{self, PathError};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::host;

/// How often something damaged can be set aside before somebody must clean up.
const SET_ASIDE_MAX: u32 = 1000;

/// Modes of the directory: who is neither owner nor group, the owner, what a team may have at most, all of them.
const OTHERS: u32 = 0o007;
const OWNER: u32 = 0o700;
const TEAM: u32 = 0o2750;
const EVERYBODY: u32 = 0o777;

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory {
    root: PathBuf,
}

/// Whose a state directory is. A copy has the same `state_id` and another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Format of this record.
    pub version: u32,
    /// Names this state everywhere: 32 random hexadecimal digits.
    pub state_id: String,
    /// Where it belongs.
    pub place: Place,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
}

/// Where a state directory is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// machine-id(5). A container may have none.
    pub machine_id: Option<String>,
    /// The directory's inode: a copy has another one, a renamed directory the same.
    pub inode: u64,
}

/// What was found when a state directory was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub identity: Identity,
    /// Where it is now, if that is not where it belongs: a copy, foreign to its endpoints until it is adopted.
    pub copied_to: Option<Place>,
    /// It has been made just now.
    pub made: bool,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file operation.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its identity cannot be read. It is never made anew: the endpoints know it.
    #[error("{} cannot be read: {why}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is a state, and the file that says whose it is is missing.
    #[error("{} is missing, and there is a journal beside it", path.display())]
    NoIdentity {
        /// The file.
        path: PathBuf,
    },
}

impl DirectoryError {
    /// What the user can do next, a sentence.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Path(error) => error.remedy(),
            Self::Identity { path, .. } | Self::NoIdentity { path } => Some(format!(
                "put {} back from a copy of this directory; the endpoints know the state by the id in it",
                path.display()
            )),
        }
    }
}

impl StateDirectory {
    /// Opens it, made with mode 0700 if it is not there; one that others can read is closed to everybody else. One that
    /// only its group can enter was opened to a team by hand: that reaches the socket, and is never let write.
    ///
    /// # Errors
    /// It cannot be made or read, or its identity is damaged or lost.
    pub fn open_or_create(root: &Path, clock: &dyn Clock) -> Result<(Self, Found), DirectoryError> {
        let directory = Self { root: root.to_owned() };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|e| PathError::new("create directory", root, e))?;
        let metadata = std::fs::metadata(root).map_err(|e| PathError::new("examine", root, e))?;
        let wanted = if metadata.mode() & OTHERS == 0 { metadata.mode() & TEAM } else { OWNER };
        if metadata.mode() & EVERYBODY != wanted & EVERYBODY {
            std::fs::set_permissions(root, Permissions::from_mode(wanted))
                .map_err(|e| PathError::new("set the mode of", root, e))?;
        }
        let (identity, made) = match directory.read_identity()? {
            Some(identity) => (identity, false),
            None if directory.journal().exists() => {
                return Err(DirectoryError::NoIdentity { path: directory.identity() });
            }
            None => {
                let identity = Identity {
                    version: Identity::VERSION,
                    state_id: random_bytes::<16>()?.iter().map(|b| format!("{b:02x}")).collect(),
                    place: directory.place()?,
                    made_ms: clock.wall_ms(),
                };
                directory.write_identity(&identity)?;
                (identity, true)
            }
        };
        let found = directory.found(identity, made)?;
        Ok((directory, found))
    }

    /// Opens it for reading. `None`: there is none.
    ///
    /// # Errors
    /// It cannot be read, or its identity is damaged or lost.
    pub fn open(root: &Path) -> Result<Option<(Self, Found)>, DirectoryError> {
        let directory = Self { root: root.to_owned() };
        match directory.read_identity()? {
            Some(identity) => {
                let found = directory.found(identity, false)?;
                Ok(Some((directory, found)))
            }
            None if directory.journal().exists() => {
                Err(DirectoryError::NoIdentity { path: directory.identity() })
            }
            None => Ok(None),
        }
    }

    /// Makes this place the one where the state belongs: for `adopt`, once the endpoints agree.
    ///
    /// # Errors
    /// The identity cannot be read or written.
    pub fn settle_here(&self) -> Result<Identity, DirectoryError> {
        let identity =
            self.read_identity()?.ok_or_else(|| DirectoryError::NoIdentity { path: self.identity() })?;
        let identity = Identity { place: self.place()?, ..identity };
        self.write_identity(&identity)?;
        Ok(identity)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The journal's segments and head.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The folded state.
    pub fn sled(&self) -> PathBuf {
        self.root.join("sled")
    }

    /// Ledgers and scans, named by their hash.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// What to do without Segue.
    pub fn by_hand(&self) -> PathBuf {
        self.root.join("BY_HAND.txt")
    }

    /// The running apply's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("socket")
    }

    /// The writer's lock.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Whose it is.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    /// Renames something damaged in this directory to `NAME.damaged-N` and returns where it is now.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<PathBuf, PathError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let free = (1..=SET_ASIDE_MAX)
            .map(|n| self.root.join(format!("{name}.damaged-{n}")))
            .find(|aside| !aside.exists())
            .ok_or_else(|| {
                let full = std::io::Error::other(format!("there are {SET_ASIDE_MAX} damaged ones already"));
                PathError::new("set aside", path, full)
            })?;
        paths::rename(path, &free)?;
        paths::sync_dir(&self.root)?;
        Ok(free)
    }

    fn found(&self, identity: Identity, made: bool) -> Result<Found, DirectoryError> {
        let here = self.place()?;
        Ok(Found { copied_to: (here != identity.place).then_some(here), identity, made })
    }

    fn place(&self) -> Result<Place, PathError> {
        let metadata = std::fs::metadata(&self.root).map_err(|e| PathError::new("examine", &self.root, e))?;
        Ok(Place { machine_id: host::machine_id(), inode: metadata.ino() })
    }

    fn read_identity(&self) -> Result<Option<Identity>, DirectoryError> {
        let path = self.identity();
        let text = match paths::read(&path) {
            Ok(text) => text,
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let why = match serde_json::from_slice::<Identity>(&text) {
            Ok(identity) if identity.version == Identity::VERSION => return Ok(Some(identity)),
            Ok(identity) => {
                format!("it has format {}, and this segue reads {}", identity.version, Identity::VERSION)
            }
            Err(e) => e.to_string(),
        };
        Err(DirectoryError::Identity { path, why })
    }

    fn write_identity(&self, identity: &Identity) -> Result<(), PathError> {
        let path = self.identity();
        let text = serde_json::to_vec_pretty(identity).map_err(|e| PathError::new("write", &path, e))?;
        paths::replace(&path, &text)
    }
}

impl Identity {
    const VERSION: u32 = 1;
}

/// Random bytes for names.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], PathError> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole (getrandom(2)).
    rustix::io::retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()))
        .map_err(|e| PathError::new("draw random bytes from", "/dev/urandom", e))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::{DirectoryError, StateDirectory};
    use crate::clock::ManualClock;

    #[test]
    fn a_new_directory_is_private_and_keeps_its_identity() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("deep/.segue");
        let clock = ManualClock::new(5, "boot");
        assert!(StateDirectory::open(&root).unwrap().is_none());
        let (directory, made) = StateDirectory::open_or_create(&root, &clock).unwrap();
        assert!(made.made && made.copied_to.is_none());
        assert_eq!((made.identity.state_id.len(), made.identity.made_ms), (32, 5));
        assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(directory.identity()).unwrap().mode() & 0o777, 0o600);
        let (_, again) = StateDirectory::open_or_create(&root, &clock).unwrap();
        assert_eq!((again.identity, again.made), (made.identity, false));
    }

    #[test]
    fn a_directory_that_others_can_read_is_closed_to_them() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join(".segue");
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        StateDirectory::open_or_create(&root, &ManualClock::new(0, "boot")).unwrap();
        assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_team_may_enter_where_somebody_let_it_and_never_write() {
        let temporary = tempfile::tempdir().unwrap();
        for (given, kept) in
            [(0o750, 0o750), (0o770, 0o750), (0o2770, 0o2750), (0o775, 0o700), (0o700, 0o700)]
        {
            let root = temporary.path().join(format!("{given:o}"));
            std::fs::create_dir(&root).unwrap();
            std::fs::set_permissions(&root, std::fs::Permissions::from_mode(given)).unwrap();
            StateDirectory::open_or_create(&root, &ManualClock::new(0, "boot")).unwrap();
            assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o7777, kept, "{given:o}");
        }
    }

    #[test]
    fn a_copy_is_told_until_it_is_settled_and_a_renamed_directory_is_no_copy() {
        let temporary = tempfile::tempdir().unwrap();
        let (root, copy, moved) =
            (temporary.path().join("a"), temporary.path().join("b"), temporary.path().join("c"));
        let clock = ManualClock::new(0, "boot");
        let (directory, made) = StateDirectory::open_or_create(&root, &clock).unwrap();
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(directory.identity(), copy.join("identity.json")).unwrap();
        let (copied, found) = StateDirectory::open(&copy).unwrap().unwrap();
        assert_eq!(found.identity.state_id, made.identity.state_id);
        assert_ne!(found.copied_to.unwrap().inode, made.identity.place.inode);
        copied.settle_here().unwrap();
        assert_eq!(StateDirectory::open(&copy).unwrap().unwrap().1.copied_to, None);
        segue_contract::paths::rename(&root, &moved).unwrap();
        assert_eq!(StateDirectory::open(&moved).unwrap().unwrap().1.copied_to, None);
    }

    #[test]
    fn a_damaged_or_lost_identity_is_told_and_not_made_anew() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join(".segue");
        let clock = ManualClock::new(0, "boot");
        let (directory, _) = StateDirectory::open_or_create(&root, &clock).unwrap();
        segue_contract::paths::replace(&directory.identity(), b"{\"version\":1").unwrap();
        let damaged = StateDirectory::open_or_create(&root, &clock).unwrap_err();
        assert!(matches!(damaged, DirectoryError::Identity { .. }));
        std::fs::remove_file(directory.identity()).unwrap();
        std::fs::create_dir(directory.journal()).unwrap();
        for lost in [
            StateDirectory::open_or_create(&root, &clock).map(|_| ()).unwrap_err(),
            StateDirectory::open(&root).map(|_| ()).unwrap_err(),
        ] {
            assert!(matches!(lost, DirectoryError::NoIdentity { .. }));
            assert!(lost.remedy().unwrap().contains("identity.json"));
        }
    }

    #[test]
    fn what_is_set_aside_never_replaces_what_was_set_aside_before() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join(".segue");
        let (directory, _) = StateDirectory::open_or_create(&root, &ManualClock::new(0, "boot")).unwrap();
        for n in 1..=3 {
            std::fs::create_dir(directory.sled()).unwrap();
            let aside = directory.set_aside(&directory.sled()).unwrap();
            assert_eq!(aside, root.join(format!("sled.damaged-{n}")));
        }
    }
}
