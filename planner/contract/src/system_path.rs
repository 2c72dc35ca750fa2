//! Where something lies: a system, and a path in it. Two blocks that lead to one place are found by comparing these.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A place in a system. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SystemPath {
    /// The system, as far as whoever names the place knows it: `files`, `cluster http://es:9200`.
    pub system: String,
    /// The place in it; `None`: its units lie there side by side, each under its own name.
    pub path: Option<PathBuf>,
}

impl SystemPath {
    /// A path of a file system, without `.`, `..` and doubled slashes. Nothing is looked at: a symlink stays what it is.
    pub fn file(system: &str, path: &Path) -> Self {
        Self { system: system.to_owned(), path: Some(lexically_normal(path)) }
    }

    /// A system whose units have names.
    pub fn units_of(system: impl Into<String>) -> Self {
        Self { system: system.into(), path: None }
    }

    /// A thing with a name in a system.
    pub fn named(system: impl Into<String>, name: &str) -> Self {
        Self { system: system.into(), path: Some(PathBuf::from(name)) }
    }
}

impl fmt::Display for SystemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) if path.is_absolute() => write!(f, "{}", path.display()),
            Some(path) => write!(f, "{} in {}", path.display(), self.system),
            None => f.write_str(&self.system),
        }
    }
}

/// A path without `.` and `..`, by its text alone.
fn lexically_normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => normal.push(part),
        }
    }
    normal
}

/// The address of a server, so that two ways to write it are one: scheme and host in lower case, the scheme's port,
/// nothing of a login, no slash at the end.
pub fn server_address(url: &str) -> String {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let port = match scheme.as_str() {
        _ if has_port => "",
        "https" => ":443",
        _ => ":80",
    };
    let path = path.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{port}{slash}{path}")
}

#[cfg(test)]
mod tests {
    use super::{SystemPath, server_address};
    use std::path::Path;

    #[test]
    fn ways_to_write_one_place_are_one() {
        let file = |path: &str| SystemPath::file("files", Path::new(path));
        assert_eq!(file("/a/./b/../c//d/"), file("/a/c/d"));
        assert_ne!(file("/a/c"), file("/a/cd"));
        assert_eq!(server_address("HTTPS://user:secret@ES1/"), "https://es1:443");
        assert_eq!(server_address("http://es1:9200"), server_address("http://ES1:9200/"));
        assert_eq!(server_address("http://proxy/one/"), "http://proxy:80/one");
        assert_ne!(server_address("http://proxy/one"), server_address("http://proxy/two"));
    }
}
