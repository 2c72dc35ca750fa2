//! The `directory` endpoint: a tree of files on this machine, as a source or as a target.
//!
//! What it is and whether it will do is [`look`]; the note that says who may act on it is [`note`]; who
//! still holds it open is [`holders`]. They share [`place`] (which directory a path leads to) and
//! [`crate::mounts`] (which mounts lead to the same files).

mod holders;
mod look;
mod note;
mod place;
#[cfg(test)]
mod tests;

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Claim, Endpoint, EndpointFacts,
    Finding, InUse, Marker, MarkerError, Setting, Severity, StepError, StepIo, SystemPath,
};

use place::Place;

/// The block type's name.
const NAME: &str = "directory";
/// The system that paths of this machine lie in.
pub(crate) const FILES: &str = "the files of this machine";
/// The attribute that says which directory.
const PATH: &str = "path";

/// A directory on this machine.
///
/// Its marker is `.segue-marker` inside it or, where the directory is a mount point, `.NAME.segue-marker`
/// beside it, so that it can still be written while the file system is read-only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Directory;

/// The schemas of `source "directory"` and `target "directory"`.
pub(crate) fn schemas() -> Vec<BlockSchema> {
    let schema = |kind, doc: &str, path: &str| BlockSchema {
        kind,
        name: NAME.to_owned(),
        doc: doc.to_owned(),
        attributes: vec![AttributeSchema::required(PATH, AttributeType::Path, path)],
    };
    vec![
        schema(
            BlockKind::Source,
            "A directory on this machine whose tree is moved. Segue changes nothing in it but its marker, \
             .segue-marker, which lies beside the directory when that is a mount point; then the file \
             .segue-marker.id names the file system from within.",
            "The directory; it must exist and be readable.",
        ),
        schema(
            BlockKind::Target,
            "A directory on this machine that receives the tree. It is made when it does not exist, and must \
             be empty when it does.",
            "The directory; it is made with its parents when it does not exist.",
        ),
    ]
}

impl Endpoint for Directory {
    fn observe(&self, block: &BlockRef, _io: &dyn StepIo) -> Result<EndpointFacts, StepError> {
        look::facts(block, &Place::of(block.path(PATH)?)?)
    }

    fn declared_places(&self, block: &BlockRef) -> Vec<SystemPath> {
        block.path(PATH).ok().map(|path| SystemPath::file(FILES, path)).into_iter().collect()
    }

    fn check_pair(&self, source: &BlockRef, target: &BlockRef) -> Vec<Finding> {
        let places = source
            .path(PATH)
            .map_err(StepError::from)
            .and_then(Place::of)
            .and_then(|s| Ok((s, Place::of(target.path(PATH)?)?)));
        let found = places.and_then(|(s, t)| match look::pair(&s, &t)? {
            Some(found) => Ok(vec![found]),
            None => look::keeps(&s, &t),
        });
        match found {
            Ok(found) => found,
            // Nothing may be moved between two directories that were not proven to be apart.
            Err(error) => vec![Finding {
                severity: Severity::Critical,
                code: "DIR_UNKNOWN".to_owned(),
                summary: format!(
                    "cannot tell whether {} and {} are apart: {error}",
                    source.address, target.address
                ),
                remedy: error.remedy.unwrap_or_else(|| "Make both paths readable and plan again.".to_owned()),
            }],
        }
    }

    fn scratch(&self, target: &BlockRef, tag: &str) -> Result<(BlockRef, Vec<Finding>), StepError> {
        let place = Place::of(target.path(PATH)?)?;
        let (beside, other_storage) = place.scratch(tag)?;
        let mut block = target.clone();
        block.address = target.address.step("rehearsal");
        block.config.insert(PATH, Setting::Plain(beside.into()));
        let finding = other_storage.then(|| Finding {
            severity: Severity::Warning,
            code: "REHEARSE_PLACE".to_owned(),
            summary: format!(
                "{} is a file system of its own: the copy lies beside it on another one, whose speed and space say \
                 little of it",
                target.address
            ),
            remedy: "Make the target a directory below the mount point.".to_owned(),
        });
        Ok((block, finding.into_iter().collect()))
    }

    fn provision(&self, block: &BlockRef, _io: &dyn StepIo) -> Result<bool, StepError> {
        Place::of(block.path(PATH)?)?.make()
    }

    fn in_use(&self, block: &BlockRef, io: &dyn StepIo) -> Result<InUse, StepError> {
        let place = Place::of(block.path(PATH)?)?;
        holders::in_use(&place, io)
    }

    fn prove(&self, block: &BlockRef, _io: &dyn StepIo) -> Result<(), StepError> {
        note::prove(&Place::of(block.path(PATH)?)?)
    }

    fn marker(&self, block: &BlockRef, _io: &dyn StepIo) -> Result<Option<Marker>, MarkerError> {
        note::read(&Place::of(path(block)?)?)
    }

    fn write_marker(&self, block: &BlockRef, claim: &Claim, _io: &dyn StepIo) -> Result<(), MarkerError> {
        note::write(&Place::of(path(block)?)?, claim)
    }

    fn remove_marker(&self, block: &BlockRef, state_id: &str, _io: &dyn StepIo) -> Result<(), MarkerError> {
        note::remove(&Place::of(path(block)?)?, state_id)
    }

    fn marker_by_hand(&self, block: &BlockRef) -> String {
        match path(block).and_then(Place::of) {
            Ok(place) => note::at(&place).display().to_string(),
            Err(error) => format!("the marker of {} ({error})", block.address),
        }
    }
}

fn path(block: &BlockRef) -> Result<&std::path::Path, StepError> {
    Ok(block.path(PATH)?)
}
