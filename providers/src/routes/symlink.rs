//! `route "symlink"`: a symbolic link that is replaced by rename, so that everybody who opens a path
//! through it gets the old side or the new one, never neither.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Route, RouteAt, Severity,
    Side, StepError, StepIo, SystemPath,
};

use crate::command::quoted;
use crate::directory::FILES;

/// Names that are tried for the new link.
const NAMES: u32 = 16;

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Route,
        name: "symlink".to_owned(),
        doc: "A symbolic link that the application follows; replaced by rename, atomically.".to_owned(),
        attributes: vec![
            AttributeSchema::required("path", AttributeType::Path, "The link."),
            AttributeSchema::required(
                "source",
                AttributeType::String,
                "The link's text for the source; a relative one starts at the link's directory.",
            ),
            AttributeSchema::required("target", AttributeType::String, "The link's text for the target."),
        ],
    }
}

pub(super) struct Symlink;

fn text(route: &BlockRef, side: Side) -> Result<&str, StepError> {
    Ok(route.text(side.as_str())?)
}

/// Where the link lies; its directory must be there.
fn directory(link: &Path) -> &Path {
    match link.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(link: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".segue-tmp-");
    name.push(link.file_name().unwrap_or_default());
    link.with_file_name(name)
}

/// Makes the new link beside the one that it is to replace. What a dead run left is replaced, and nothing else is: a name
/// alone does not say whose a file is.
fn make_beside(route: &BlockRef, link: &Path, wanted: &str) -> Result<PathBuf, StepError> {
    let mut new = beside(link);
    for _ in 0..NAMES {
        let is_ours = |found: &Path| {
            [Side::Source, Side::Target]
                .into_iter()
                .any(|side| text(route, side).is_ok_and(|text| found == Path::new(text)))
        };
        if std::fs::read_link(&new).is_ok_and(|found| is_ours(&found)) {
            std::fs::remove_file(&new).map_err(|error| PathError::new("remove", &new, error))?;
        }
        match symlink(wanted, &new) {
            Ok(()) => return Ok(new),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut other = new.into_os_string();
                other.push("~");
                new = PathBuf::from(other);
            }
            Err(error) => return Err(PathError::new("make the link", &new, error).into()),
        }
    }
    Err(StepError::permanent(format!("{} and others are in the way", beside(link).display()))
        .remedy("move away what is not segue's, and run the same command again"))
}

impl Route for Symlink {
    fn atomic(&self) -> bool {
        true
    }

    fn ttl_ms(&self, _: &BlockRef) -> u64 {
        0
    }

    fn declared_places(&self, route: &BlockRef) -> Vec<SystemPath> {
        route.path("path").ok().map(|path| SystemPath::file(FILES, path)).into_iter().collect()
    }

    /// The link's own directory is resolved, the link is not.
    fn place(&self, route: &BlockRef) -> Option<SystemPath> {
        let link = route.path("path").ok()?;
        let directory = directory(link).canonicalize().ok()?;
        Some(SystemPath::file(FILES, &directory.join(link.file_name()?)))
    }

    fn check(&self, route: &BlockRef) -> Vec<Finding> {
        let critical = |summary: String, remedy: &str| {
            vec![Finding {
                severity: Severity::Critical,
                code: "ROUTE_SYMLINK".to_owned(),
                summary,
                remedy: remedy.to_owned(),
            }]
        };
        let Ok(link) = route.path("path") else {
            return Vec::new();
        };
        match std::fs::symlink_metadata(link) {
            Ok(found) if !found.is_symlink() => {
                return critical(
                    format!("{} is not a symbolic link", link.display()),
                    "move it away, or name another path",
                );
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return critical(
                    format!("cannot look at {}: {error}", link.display()),
                    "make its directory readable",
                );
            }
            Ok(_) | Err(_) => {}
        }
        let parent = directory(link);
        if rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_err() {
            return critical(
                format!("{} cannot be written", parent.display()),
                "make it, or run as a user who may write there",
            );
        }
        if text(route, Side::Source).ok() == text(route, Side::Target).ok() {
            return critical(
                "source and target are the same text".to_owned(),
                "the link must tell the sides apart",
            );
        }
        Vec::new()
    }

    fn observe(&self, route: &BlockRef, _: &dyn StepIo) -> Result<RouteAt, StepError> {
        let link = route.path("path")?;
        let found = match std::fs::read_link(link) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RouteAt::Missing),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                return Ok(RouteAt::Other("something that is not a link".to_owned()));
            }
            Err(error) => return Err(PathError::new("read the link", link, error).into()),
        };
        for side in [Side::Source, Side::Target] {
            if found == Path::new(text(route, side)?) {
                return Ok(RouteAt::Side(side));
            }
        }
        // Another text may lead to the same place.
        let real = |text: &Path| std::fs::canonicalize(directory(link).join(text)).ok();
        let here = real(&found);
        for side in [Side::Source, Side::Target] {
            if here.is_some() && here == real(Path::new(text(route, side)?)) {
                return Ok(RouteAt::Side(side));
            }
        }
        Ok(RouteAt::Other(found.display().to_string()))
    }

    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError> {
        let (link, wanted) = (route.path("path")?, text(route, side)?);
        if self.observe(route, io)? == RouteAt::Side(side) {
            // It may have been set just before a death: durable only after this.
            return Ok(paths::sync_dir(directory(link))?);
        }
        let new = make_beside(route, link, wanted)?;
        paths::rename(&new, link)?;
        Ok(paths::sync_dir(directory(link))?)
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        let link = route.path("path").unwrap_or(Path::new("")).to_owned();
        let new = beside(&link).display().to_string();
        let wanted = text(route, side).unwrap_or_default().to_owned();
        format!(
            "{} && {}",
            quoted(&["ln".into(), "-sfn".into(), wanted, new.clone()]),
            quoted(&["mv".into(), "-T".into(), new, link.display().to_string()])
        )
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block};

    fn route(dir: &Path) -> BlockRef {
        let settings =
            [("path", json!(dir.join("live"))), ("source", json!("old")), ("target", json!("new"))];
        block("route.symlink.site", "symlink", &settings)
    }

    #[test]
    fn is_set_observed_and_set_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (route, io) = (route(dir.path()), Io::default());
        assert_eq!(Symlink.observe(&route, &io).expect("observes"), RouteAt::Missing);
        for side in [Side::Source, Side::Target, Side::Target] {
            Symlink.set(&route, side, &io).expect("sets");
            assert_eq!(Symlink.observe(&route, &io).expect("observes"), RouteAt::Side(side));
        }
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).expect("list").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["live"]);
    }

    #[test]
    fn a_file_of_somebody_under_the_temporary_name_is_kept() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (route, io) = (route(dir.path()), Io::default());
        let users = dir.path().join(".segue-tmp-live");
        paths::replace(&users, b"precious").expect("written");
        Symlink.set(&route, Side::Target, &io).expect("sets");
        assert_eq!(paths::read(&users).expect("kept"), b"precious");
        std::fs::remove_file(&users).expect("moved away");
        // What a run that died left is no obstacle.
        symlink("new", &users).expect("left");
        Symlink.set(&route, Side::Source, &io).expect("sets");
        assert!(!users.is_symlink());
    }

    #[test]
    fn another_text_for_the_same_place_counts_and_another_place_is_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (route, io) = (route(dir.path()), Io::default());
        std::fs::create_dir(dir.path().join("new")).expect("mkdir");
        symlink("./new/", dir.path().join("live")).expect("link");
        assert_eq!(Symlink.observe(&route, &io).expect("observes"), RouteAt::Side(Side::Target));
        std::fs::remove_file(dir.path().join("live")).expect("rm");
        symlink("elsewhere", dir.path().join("live")).expect("link");
        assert_eq!(Symlink.observe(&route, &io).expect("observes"), RouteAt::Other("elsewhere".into()));
    }

    #[test]
    fn by_hand_does_the_same() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (route, io) = (route(dir.path()), Io::default());
        Symlink.set(&route, Side::Source, &io).expect("sets");
        let typed = Symlink.set_by_hand(&route, Side::Target);
        assert!(Command::new("sh").args(["-c", &typed]).status().expect("sh").success(), "{typed}");
        assert_eq!(Symlink.observe(&route, &io).expect("observes"), RouteAt::Side(Side::Target));
    }

    #[test]
    fn a_directory_in_the_links_place_is_refused_before_anything_runs() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("live")).expect("mkdir");
        let findings = Symlink.check(&route(dir.path()));
        assert!(findings.iter().any(|f| f.summary.contains("is not a symbolic link")), "{findings:?}");
    }
}
