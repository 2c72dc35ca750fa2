//! `load { mode = "snapshot" }`: a snapshot in a directory that the servers of both clusters see, restored under the new name.
//!
//! Two snapshots are made: the first takes long and copies everything; the second copies what changed since, and so the
//! position before it is one of which the restored index has everything, not long ago. A restored index keeps versions and
//! sequence numbers of the source, which are below every version that Segue writes. Repository and snapshots go as soon as
//! the index is there; what the servers keep of an empty repository (a few files) stays in the directory.

use segue_contract::{
    AttributeSchema, AttributeType, Direction, Finding, LoadModeSchema, Progress, StepError, StepIo, UnitJob,
    segue,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{critical, is_one, repository, wait};
use crate::engines::documents::{Collection, Memo, Stand};
use crate::search::carry::settings::is_of_the_instance;
use crate::search::cluster::{Ask, Cluster, Effect};
use crate::search::collection::{IndexCollection, one};
use crate::search::indices::{self, Index};
use crate::search::make::{self, Surroundings};
use crate::search::names::{self, encoded};
use crate::search::{carry, texts, tune};

/// The attribute that says where the repository is.
const LOCATION: &str = "location";
/// Snapshots of one load: everything, and then what changed since.
const SNAPSHOTS: usize = 2;
/// How long a snapshot that is being made may not be there, in looks.
const ABSENT_LOOKS: u32 = 20;
/// How long a restored index may be without its primaries while nothing is being restored, in looks.
const IDLE_LOOKS: u32 = 240;
/// What a restore can neither leave out nor change.
const FIXED: [&str; 5] = [
    "index.number_of_shards",
    "index.number_of_routing_shards",
    "index.routing_partition_size",
    "index.soft_deletes.enabled",
    "index.sort.",
];

/// The mode as the language shows it.
pub(super) fn mode() -> LoadModeSchema {
    LoadModeSchema {
        name: super::SNAPSHOT.to_owned(),
        doc: "A snapshot in a directory that both clusters see is restored at the target: the quickest for large indices, \
              between versions that can read each other's."
            .to_owned(),
        attributes: vec![AttributeSchema::required(
            LOCATION,
            AttributeType::String,
            "The directory, as the servers of both clusters see it, below path.repo of each: /mnt/snapshots.",
        )],
        by_others: false,
        voids: Vec::new(),
    }
}

/// What has begun: everything is named before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Began {
    /// The repository's name at both clusters, and its directory below the location.
    name: String,
    /// How many snapshots are made.
    snapshots: usize,
    /// Where the source stood before the last of them began.
    stand: Option<Stand>,
    /// The index is restored.
    restored: bool,
    /// Everything is, and nothing temporary is left.
    done: bool,
}

impl Began {
    fn snapshot(&self, at: usize) -> String {
        format!("{}-{}", self.name, at + 1)
    }
}

fn location(job: &UnitJob) -> Result<&str, StepError> {
    let given = job.load.mode.config.plain(LOCATION).and_then(Value::as_str).unwrap_or_default();
    if given.is_empty() {
        return Err(StepError::permanent(format!("{}: load.location is missing", job.migration)));
    }
    Ok(given.trim_end_matches('/'))
}

fn index_at(cluster: &Cluster, name: &str) -> Result<Index, StepError> {
    let found = indices::named(cluster, &[name.to_owned()])?.remove(name);
    found.ok_or_else(|| indices::absent(cluster, name))
}

/// Before anything runs: versions, what a restore cannot change, and whether both may have the repository.
pub(super) fn check(job: &UnitJob, from: &Cluster, to: &Cluster) -> Result<Vec<Finding>, StepError> {
    let mut found = Vec::new();
    let copy = "load it in mode \"copy\", in a migration of its own where others can be restored";
    let index = index_at(from, &one(&job.source)?)?;
    let (source, target) = (from.about()?, to.about()?);
    if let Some(why) = repository::cannot(source, target, &index) {
        found.push(critical("SNAPSHOT_VERSION", format!("index {:?}: {why}", index.name), copy));
    } else {
        let wanted = carry::translated(&index, source, target);
        if !texts::alike(&texts::sorted(&wanted.mapping), &texts::sorted(&index.mapping)) {
            let what = format!(
                "index {:?}: its mapping is another one in {target}, and a restore changes none",
                index.name
            );
            found.push(critical("SNAPSHOT_MAPPING", what, copy));
        }
    }
    let at_target = one(&job.target)?;
    if !indices::settings_if_there(to, &at_target)?.is_empty() {
        found.push(critical(
            "SNAPSHOT_EXISTS",
            format!("index {at_target:?} is at {} already, and a restore makes it", job.target.address),
            "delete it there, or load in another mode",
        ));
    }
    let location = location(job)?;
    for cluster in [from, to] {
        if repository::may_be_at(cluster, location)? == Some(false) {
            found.push(critical(
                "SNAPSHOT_LOCATION",
                format!("{}: not every node may have a repository in {location}", cluster.address),
                &format!("write `path.repo: [\"{location}\"]` into the configuration of every node, mount the same directory there, and restart them one by one"),
            ));
        }
    }
    Ok(found)
}

/// The load of one unit.
struct Load<'a> {
    job: &'a UnitJob,
    io: &'a dyn StepIo,
    memo: &'a Memo,
    from: Cluster,
    to: Cluster,
    /// The index's name at the source, and at the target.
    names: (String, String),
    began: Began,
}

impl<'a> Load<'a> {
    fn of(job: &'a UnitJob, memo: &'a Memo, io: &'a dyn StepIo, began: Began) -> Result<Self, StepError> {
        Ok(Self {
            from: Cluster::of(&job.source, io)?,
            to: Cluster::of(&job.target, io)?,
            names: (one(&job.source)?, one(&job.target)?),
            job,
            io,
            memo,
            began,
        })
    }

    fn note(&self) -> Result<(), StepError> {
        self.memo.write(&self.began)
    }

    fn path(&self, rest: &str) -> String {
        format!("/_snapshot/{}{rest}", encoded(&self.began.name))
    }

    /// Tells a cluster of the repository; told again, it is the same one.
    fn register(&self, cluster: &Cluster, readonly: bool) -> Result<(), StepError> {
        let at = format!("{}/{}", location(self.job)?, self.began.name);
        let body =
            json!({"type": "fs", "settings": {"location": at, "readonly": readonly, "compress": true}});
        let ask = Ask::change("PUT", self.path(""), Some(&body));
        match cluster.answer(&ask)? {
            Ok(answer) => cluster.is_acknowledged(&ask, &answer),
            Err(refusal) => Err(refusal.step(Effect::Write).remedy(format!(
                "see that {at} is below path.repo of every node, that it is the same directory for both clusters, and that the servers may read and write there"
            ))),
        }
    }

    /// Makes the next snapshot, or waits for the one that a dead run began.
    fn snapshot(&mut self) -> Result<(), StepError> {
        let name = self.began.snapshot(self.began.snapshots);
        let path = self.path(&format!("/{}", encoded(&name)));
        let is_last = self.began.snapshots + 1 == SNAPSHOTS;
        let is_there = self.from.maybe(&Ask::get(path.clone()))?.is_some();
        if is_last && !(is_there && self.began.stand.is_some()) {
            if is_there {
                // Nobody knows any more where the source stood before it.
                remove(&self.from, &path)?;
            }
            // Taken before the snapshot is: whatever has a number below is in it.
            let source =
                IndexCollection::open(Cluster::of(&self.job.source, self.io)?, self.names.0.clone())?;
            self.began.stand = Some(source.stand()?);
            self.note()?;
        }
        let body = json!({"indices": self.names.0, "include_global_state": false, "partial": false});
        let ask = Ask::change("PUT", format!("{path}?wait_for_completion=false"), Some(&body));
        match self.from.answer(&ask)? {
            Ok(_) => {}
            // It is there, or it is being made: a run that died began it.
            Err(refusal) if refusal.is("invalid_snapshot_name_exception") => {}
            Err(refusal) if refusal.is("concurrent_snapshot_execution_exception") => {
                return Err(StepError::transient(refusal.to_string())
                    .remedy("another snapshot is being made there: it is waited for"));
            }
            Err(refusal) => return Err(refusal.step(Effect::Write)),
        }
        self.until_made(&path)?;
        self.began.snapshots += 1;
        self.note()
    }

    /// Waits until a snapshot is whole.
    fn until_made(&self, path: &str) -> Result<(), StepError> {
        let mut absent = 0;
        loop {
            let found = self.from.maybe(&Ask::get(path))?;
            absent = if found.is_some() { 0 } else { absent + 1 };
            let found = found.unwrap_or(Value::Null);
            let snapshot = &found["snapshots"][0];
            match snapshot["state"].as_str().unwrap_or("") {
                "SUCCESS" => return Ok(()),
                "FAILED" | "PARTIAL" | "INCOMPATIBLE" => {
                    let why = snapshot["failures"][0]["reason"].as_str().unwrap_or("no reason is given");
                    remove(&self.from, path)?;
                    return Err(StepError::transient(format!(
                        "{}: the snapshot of {:?} is not whole: {why}",
                        self.from.address, self.names.0
                    ))
                    .remedy("see the index's health; the snapshot is made again"));
                }
                _ if absent > ABSENT_LOOKS => {
                    return Err(StepError::transient(format!(
                        "{}: the snapshot of {:?} that was being made is gone",
                        self.from.address, self.names.0
                    ))
                    .remedy("see who deletes snapshots there; it is made again"));
                }
                _ => {
                    self.progress(&format!("{path}/_status"))?;
                    wait(self.io)?;
                }
            }
        }
    }

    /// How far a snapshot is.
    fn progress(&self, path: &str) -> Result<(), StepError> {
        let status = self.from.maybe(&Ask::get(path))?.unwrap_or(Value::Null);
        let stats = &status["snapshots"][0]["stats"];
        let bytes = |what: &str| stats[what]["size_in_bytes"].as_u64();
        self.io.progress(Progress {
            bytes: bytes("processed").unwrap_or(0),
            bytes_total: bytes("incremental"),
            ..Progress::default()
        });
        Ok(())
    }

    /// Restores the last snapshot, or waits for the restore that a dead run began.
    fn restore(&mut self) -> Result<(), StepError> {
        let (source, target) = self.names.clone();
        let pair = [self.names.clone()];
        let streams = self.job.target.words(crate::search::DATA_STREAMS)?.unwrap_or_default();
        let around = Surroundings { from: &self.from, to: &self.to, indices: &pair, streams: &streams };
        let is_for_clients =
            self.job.direction == Direction::Forward && names::prefix(self.job.writes()).is_empty();
        let mut made = if is_for_clients { make::make_around(&around)? } else { make::Around::default() };
        make::note_begun(&self.to, &target, &source)?;
        if indices::settings_if_there(&self.to, &target)?.is_empty() {
            let body = self.how()?;
            let name = self.began.snapshot(SNAPSHOTS - 1);
            let path = self.path(&format!("/{}/_restore?wait_for_completion=false", encoded(&name)));
            let answer = self.to.answer(&Ask::change("POST", path, Some(&body)))?;
            answer.map_err(|refusal| {
                refusal
                    .step(Effect::Write)
                    .remedy("see what the target says of the snapshot; or load in mode \"copy\"")
            })?;
        }
        self.until_restored()?;
        make::note_made(&self.to, &target)?;
        if is_for_clients {
            make::make_aliases(&around, &mut made)?;
        }
        made.findings.into_iter().for_each(|finding| self.io.find(finding));
        self.began.restored = true;
        self.note()
    }

    /// The body of the restore: the new name, without replicas and refreshes, and settings as the target knows them.
    fn how(&self) -> Result<Value, StepError> {
        let (source, target) = &self.names;
        let index = index_at(&self.from, source)?;
        let mut wanted = carry::translated(&index, self.from.about()?, self.to.about()?).settings;
        let put_back = make::for_load(&mut wanted);
        tune::noted(&self.to, target, &put_back)?;
        let (set, left) = changes(&index.settings, &wanted);
        Ok(json!({
            "indices": source,
            "include_global_state": false,
            "include_aliases": false,
            "rename_pattern": "^.*$",
            "rename_replacement": target,
            "index_settings": set,
            "ignore_index_settings": left,
        }))
    }

    /// Waits until every primary of the restored index is there.
    fn until_restored(&self) -> Result<(), StepError> {
        let name = encoded(&self.names.1);
        let mut idle = 0;
        loop {
            let health = self.to.maybe(&Ask::get(format!("/_cluster/health/{name}?timeout=1s")))?;
            let status = health.as_ref().and_then(|h| h["status"].as_str().map(str::to_owned));
            let shards = self.to.maybe(&Ask::get(format!("/{name}/_recovery")))?.unwrap_or(Value::Null);
            let empty = Vec::new();
            let list = shards[&self.names.1]["shards"].as_array().unwrap_or(&empty);
            let sum = |what: &str| list.iter().filter_map(|s| s["index"]["size"][what].as_u64()).sum::<u64>();
            self.io.progress(Progress {
                bytes: sum("recovered_in_bytes"),
                bytes_total: Some(sum("total_in_bytes")),
                ..Progress::default()
            });
            if status.as_deref().is_some_and(|s| s != "red") {
                return Ok(());
            }
            idle = if list.iter().any(|s| s["stage"] != "DONE") { 0 } else { idle + 1 };
            if idle > IDLE_LOOKS {
                return Err(StepError::permanent(format!(
                    "{}: index {:?} was restored in part: its primaries do not come up",
                    self.to.address, self.names.1
                ))
                .remedy("see why (`GET /_cluster/allocation/explain`), delete the index there, then apply again; or load in mode \"copy\""));
            }
            wait(self.io)?;
        }
    }

    /// Takes away what was needed for it.
    fn clean(&self) -> Result<(), StepError> {
        if self.began.name.is_empty() {
            return Ok(());
        }
        if !is_one(&self.from, &self.to)? {
            remove(&self.to, &self.path(""))?;
        }
        for at in 0..SNAPSHOTS {
            let name = self.began.snapshot(at);
            remove(&self.from, &self.path(&format!("/{}", encoded(&name))))?;
        }
        remove(&self.from, &self.path(""))
    }
}

/// Deletes; gone is fine.
fn remove(cluster: &Cluster, path: &str) -> Result<(), StepError> {
    match cluster.answer(&Ask::change("DELETE", path, None))? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is_absent() => Ok(()),
        Err(refusal) => Err(refusal.step(Effect::Write)),
    }
}

/// The settings that a restore sets, and those that it leaves out, so that `there` becomes `wanted`.
fn changes(there: &Map<String, Value>, wanted: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let is_fixed = |name: &str| is_of_the_instance(name) || FIXED.iter().any(|f| name.starts_with(f));
    let set = wanted.iter().filter(|(name, value)| !is_fixed(name) && there.get(*name) != Some(value));
    let blocks = |name: &str| name.starts_with("index.blocks.");
    let left = there.keys().filter(|name| !wanted.contains_key(*name) && (blocks(name) || !is_fixed(name)));
    (set.map(|(name, value)| (name.clone(), value.clone())).collect(), left.cloned().collect())
}

/// Fills, from where a run that died was.
pub(super) fn fill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<Stand, StepError> {
    let mut load = Load::of(job, memo, io, memo.read()?.unwrap_or_default())?;
    if load.began.name.is_empty() {
        // Of this state, this unit, and this try: the source has not stood there before.
        let source = IndexCollection::open(Cluster::of(&job.source, io)?, load.names.0.clone())?;
        let at = source.stand()?;
        let what = format!("{}\n{}\n{}\n{at:?}", io.artifacts().display(), job.migration, job.unit);
        load.began.name = format!("segue-{:016x}", xxh3_64(what.as_bytes()));
        load.note()?;
    }
    if !load.began.done && !load.began.restored {
        load.register(&load.from, false)?;
        while load.began.snapshots < SNAPSHOTS {
            load.snapshot()?;
        }
        if !is_one(&load.from, &load.to)? {
            load.register(&load.to, true)?;
        }
        load.restore()?;
    }
    if !load.began.done {
        load.clean()?;
        load.began.done = true;
        load.note()?;
    }
    load.began.stand.clone().ok_or_else(|| {
        StepError::permanent(format!("{}: no position was noted for {}", job.migration, job.unit))
            .remedy(format!("remove what was restored (`{}`), then apply again", segue(&["cleanup"])))
    })
}

/// Takes away what a load that nobody goes on with had made; a restored index is released with the target.
pub(super) fn unfill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<(), StepError> {
    match memo.read::<Began>()? {
        Some(began) if !began.done => Load::of(job, memo, io, began)?.clean(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_sets_what_differs_and_leaves_out_what_the_target_does_not_know() {
        let map = |value: Value| value.as_object().cloned().expect("an object");
        let there = map(json!({
            "index.uuid": "x", "index.number_of_shards": "3", "index.codec": "best_compression",
            "index.lifecycle.name": "old", "index.number_of_replicas": "1", "index.blocks.write": "true"}));
        let wanted = map(json!({
            "index.number_of_shards": "3", "index.codec": "best_compression", "index.number_of_replicas": "0",
            "index.refresh_interval": "-1"}));
        let (set, left) = changes(&there, &wanted);
        assert_eq!(
            Value::Object(set),
            json!({"index.number_of_replicas": "0", "index.refresh_interval": "-1"})
        );
        assert_eq!(left, ["index.blocks.write", "index.lifecycle.name"]);
    }
}
