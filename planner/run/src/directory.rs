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
    /// Opens it, made with mode 0700 if it is not there; one that others can read is closed to them.
    ///
    /// # Errors
    /// It cannot be made or read, or its identity is damaged or lost.
    pub fn open_or_create(root: &Path, clock: &dyn Clock) -> Result<(Self, Found), DirectoryError> {
        let directory = Self {
            root: root.to_owned(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|e| PathError::new("create directory", root, e))?;
        let metadata = std::fs::metadata(root).map_err(|e| PathError::new("examine", root, e))?;
        if metadata.mode() & 0o077 != 0 {
            std::fs::set_permissions(root, Permissions::from_mode(0o700))
                .map_err(|e| PathError::new("set the mode of", root, e))?;
        }
        let (identity, made) = match directory.read_identity()? {
            Some(identity) => (identity, false),
            None if directory.journal().exists() => {
                return Err(DirectoryError::NoIdentity {
                    path: directory.identity(),
                });
            }
            None => {
                let identity = Identity {
                    version: Identity::VERSION,
                    state_id: random_bytes::<16>().iter().map(|b| format!("{b:02x}")).collect(),
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
        let directory = Self {
            root: root.to_owned(),
        };
        match directory.read_identity()? {
            Some(identity) => {
                let found = directory.found(identity, false)?;
                Ok(Some((directory, found)))
            }
            None if directory.journal().exists() => Err(DirectoryError::NoIdentity {
                path: directory.identity(),
            }),
            None => Ok(None),
        }
    }

    /// Makes this place the one where the state belongs: for `adopt`, once the endpoints agree.
    ///
    /// # Errors
    /// The identity cannot be read or written.
    pub fn settle_here(&self) -> Result<Identity, DirectoryError> {
        let identity = self.read_identity()?.ok_or_else(|| DirectoryError::NoIdentity {
            path: self.identity(),
        })?;
        let identity = Identity {
            place: self.place()?,
            ..identity
        };
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
        Ok(Found {
            copied_to: (here != identity.place).then_some(here),
            identity,
            made,
        })
    }

    fn place(&self) -> Result<Place, PathError> {
        let metadata = std::fs::metadata(&self.root).map_err(|e| PathError::new("examine", &self.root, e))?;
        Ok(Place {
            machine_id: host::machine_id(),
            inode: metadata.ino(),
        })
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
            Ok(identity) => format!(
                "it has format {}, and this segue reads {}",
                identity.version,
                Identity::VERSION
            ),
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

/// Random bytes for names. The kernel's source cannot fail once the machine is up; were it to, they would
/// be zeros, and two states would have one name.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = rustix::io::retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()));
    debug_assert_eq!(filled, Ok(N));
    bytes
}
