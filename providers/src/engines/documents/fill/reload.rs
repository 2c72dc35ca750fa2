//! `load { mode = "reload" }`: the target is filled from elsewhere, by files of documents, by a command, or by hand.
//!
//! A line of a file is a document, `{"_id": "7", "_routing": "a", "_source": {...}}`, as elasticdump and the search APIs write
//! them; other fields are passed over. Documents get version 1, so that writing a file again changes nothing, and whatever the
//! passes carry is above them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use segue_contract::paths::{self, PathError};
use segue_contract::{
    AttributeSchema, AttributeType, BlockRef, Config, Finding, Progress, Setting, Severity, StepError,
    StepIo, UnitJob,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::again::{again, pause};
use super::super::collection::{Collection, Documents, Key, Write, Written};
use super::super::json::on_one_line;
use super::super::made::Made;
use super::Memo;
use crate::command::{Call, quoted, run};

/// The directory of files.
const FILES: &str = "files";
/// The command.
const COMMAND: &str = "command";
/// How long it may take.
const COMMAND_TIMEOUT: &str = "command_timeout";
/// How long that is when the spec says nothing: a day, in milliseconds.
const COMMAND_TIMEOUT_MS: u64 = 86_400_000;
/// How long a line may be, in bytes: no server takes a larger document by default.
const LINE_MAX: u64 = 100 << 20;
/// Documents that are refused and told by name.
const REFUSED_TOLD: usize = 5;
/// What the versions of documents from files are.
const VERSION: u64 = 1;
/// Between two tries of a document that is not taken now.
const BUSY: Duration = Duration::from_millis(500);
/// So often a document is tried.
const TRIES: u32 = 120;

/// What the `load` block may hold with this mode.
pub(super) fn attributes() -> Vec<AttributeSchema> {
    vec![
        AttributeSchema::optional(
            FILES,
            AttributeType::Path,
            "A directory with the documents of each unit in UNIT.ndjson or UNIT.*.ndjson, one a line as elasticdump writes it.",
        ),
        AttributeSchema::optional(
            COMMAND,
            AttributeType::Words,
            "Fills the unit SEGUE_UNIT of the target, where it is called SEGUE_TARGET; exit 0: it is filled. May be run again.",
        ),
        AttributeSchema::optional(
            COMMAND_TIMEOUT,
            AttributeType::Duration,
            "How long command may take. Default 24h.",
        ),
    ]
}

/// Whether the unit is made by whoever fills it.
pub(super) fn is_made_elsewhere(job: &UnitJob) -> bool {
    super::Way::of(job) == super::Way::Elsewhere && files_of(job).is_none()
}

fn files_of(job: &UnitJob) -> Option<&Path> {
    job.load.mode.config.plain(FILES).and_then(|v| v.as_str()).map(Path::new)
}

fn command_of(job: &UnitJob) -> Option<Vec<String>> {
    let list = job.load.mode.config.plain(COMMAND)?.as_array()?;
    Some(list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
}

/// What stands in the way.
pub(super) fn check(job: &UnitJob) -> Vec<Finding> {
    let critical = |summary: String, remedy: &str| Finding {
        severity: Severity::Critical,
        code: "RELOAD".to_owned(),
        summary,
        remedy: remedy.to_owned(),
    };
    match (files_of(job), command_of(job)) {
        (Some(_), Some(_)) => vec![critical(
            format!("{}: a target is reloaded from files or by command, not by both", job.migration),
            "take one of them out of load",
        )],
        (Some(dir), None) => match listed(dir, &job.unit) {
            Ok(files) if files.is_empty() => vec![critical(
                format!("no file in {} is called {1}.ndjson or {1}.*.ndjson", dir.display(), job.unit),
                "put the documents there, one a line, or leave the unit out with select { exclude }",
            )],
            Ok(_) => Vec::new(),
            Err(error) => {
                vec![critical(error.to_string(), "correct files: the directory is on this machine")]
            }
        },
        (None, Some(command)) => {
            let program = command.first().map_or("", String::as_str);
            if crate::command::is_found(&job.target.base_dir, program) {
                return Vec::new();
            }
            vec![critical(
                format!("{}: load.command {program:?} is not there", job.migration),
                "correct it: it is started in the spec's directory",
            )]
        }
        (None, None) => vec![Finding {
            severity: Severity::Info,
            code: "RELOAD".to_owned(),
            summary: format!(
                "{}: {} is filled by hand: segue takes stock of what it finds, and carries what changed since",
                job.migration, job.unit
            ),
            remedy: "fill it before you apply, or name files or a command in load".to_owned(),
        }],
    }
}

/// The files of a unit, in order.
fn listed(dir: &Path, unit: &str) -> Result<Vec<PathBuf>, StepError> {
    let entries = std::fs::read_dir(dir).map_err(|e| PathError::new("list", dir, e))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| PathError::new("list", dir, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = name.strip_suffix(".ndjson").and_then(|stem| stem.strip_prefix(unit));
        if part.is_some_and(|part| part.is_empty() || part.starts_with('.')) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What was done.
#[derive(Default, Serialize, Deserialize)]
struct Done {
    /// Files that are written.
    files: Vec<PathBuf>,
    /// The command ended well.
    commanded: bool,
}

/// Fills the unit as the spec says.
pub(super) fn fill(
    target: &dyn Documents,
    job: &UnitJob,
    memo: &Memo,
    io: &dyn StepIo,
) -> Result<(), StepError> {
    let mut done: Done = memo.read()?.unwrap_or_default();
    if let Some(dir) = files_of(job) {
        if Made::of(io.artifacts(), job).is_noted() {
            again(io, || target.make(job, io))?;
        }
        let there = target.open(job.writes(), io)?;
        let mut reload = Reload { there: &*there, io, written: 0, bytes: 0, refused: 0, told: Vec::new() };
        for file in listed(dir, &job.unit)? {
            if !done.files.contains(&file) {
                reload.file(&file)?;
                done.files.push(file);
                memo.write(&done)?;
            }
        }
        reload.tell(job);
        return Ok(());
    }
    if let Some(argv) = command_of(job).filter(|_| !done.commanded) {
        command(job, &argv, io)?;
        done.commanded = true;
        memo.write(&done)?;
    }
    if again(io, || target.exists(job.writes(), io))? {
        return Ok(());
    }
    Err(StepError::permanent(format!(
        "{}: {} is not there yet",
        job.writes().address,
        job.writes().scope.join(", ")
    ))
    .remedy("fill it, then apply again; or name files or a command in load"))
}

fn command(job: &UnitJob, argv: &[String], io: &dyn StepIo) -> Result<(), StepError> {
    let mut config = Config::default();
    let timeout = job.load.mode.config.plain(COMMAND_TIMEOUT).cloned();
    config.insert("timeout", Setting::Plain(timeout.unwrap_or_else(|| COMMAND_TIMEOUT_MS.into())));
    let block = BlockRef { config, ..job.target.clone() };
    let environment = vec![("SEGUE_UNIT", job.unit.clone()), ("SEGUE_TARGET", job.target.scope.join(","))];
    let ended = run(&Call { block: &block, argv, action: "fill", environment }, io)?;
    if ended.status.success() {
        return Ok(());
    }
    Err(StepError::permanent(format!("{} ended with {}: {}", quoted(argv), ended.how(), ended.printed))
        .remedy("see to what it says, then apply again: it is run once more"))
}

/// A line.
#[derive(Deserialize)]
struct Line<'a> {
    _id: String,
    _routing: Option<String>,
    #[serde(borrow)]
    _source: &'a RawValue,
}

struct Reload<'a> {
    there: &'a dyn Collection,
    io: &'a dyn StepIo,
    written: u64,
    bytes: u64,
    refused: u64,
    /// The first of them.
    told: Vec<String>,
}

impl Reload<'_> {
    fn file(&mut self, path: &Path) -> Result<(), StepError> {
        let limits = self.there.limits();
        let mut from = BufReader::with_capacity(1 << 20, paths::open(path)?);
        let (mut batch, mut bytes, mut number) = (Vec::new(), 0, 0u64);
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
            let read = read.map_err(|e| PathError::new("read", path, e))?;
            number += 1;
            let full = batch.len() >= limits.batch_documents_max || bytes + read > limits.batch_bytes_max;
            if (read == 0 || full) && !batch.is_empty() {
                self.write(std::mem::take(&mut batch))?;
                bytes = 0;
            }
            if read == 0 {
                return Ok(());
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let is_cut = read as u64 == LINE_MAX && !line.ends_with(b"\n");
            let document =
                if is_cut { Err(format!("it is longer than {LINE_MAX} bytes")) } else { parsed(&line) };
            batch.push(document.map_err(|why| {
                StepError::permanent(format!("{}:{number}: {why}", path.display())).remedy(
                    "each line is a document: {\"_id\": \"7\", \"_source\": {...}}; correct the file, then apply again",
                )
            })?);
            bytes += read;
        }
    }

    /// Writes a batch to its end; a document that is there with a higher version is left.
    fn write(&mut self, mut batch: Vec<Write>) -> Result<(), StepError> {
        // Of one key the last line counts: a batch has each once.
        let mut last = std::collections::BTreeMap::new();
        for (at, write) in batch.iter().enumerate() {
            last.insert(write.key.clone(), at);
        }
        let mut at = 0..;
        batch.retain(|write| last.get(&write.key) == at.next().as_ref());
        for _ in 0..TRIES {
            self.io.take(batch.iter().map(|w| w.body.as_ref().map_or(0, Vec::len) as u64).sum());
            let written = again(self.io, || self.there.write(&batch))?;
            let mut later = Vec::new();
            for (write, written) in batch.into_iter().zip(written) {
                match written {
                    Written::Done { .. } => {
                        self.written += 1;
                        self.bytes += write.body.as_ref().map_or(0, Vec::len) as u64;
                    }
                    Written::Newer => {}
                    Written::Later(_) => later.push(write),
                    Written::Refused(why) => {
                        self.refused += 1;
                        if self.told.len() < REFUSED_TOLD {
                            self.told.push(format!("{}: {why}", write.key));
                        }
                    }
                }
            }
            self.io.progress(Progress { records: self.written, bytes: self.bytes, ..Progress::default() });
            if later.is_empty() {
                return Ok(());
            }
            batch = later;
            pause(self.io, BUSY)?;
        }
        Err(StepError::transient("the target does not take the files' documents: it is busy all the time")
            .remedy("give it time, then apply again: files that were written are not written again"))
    }

    fn tell(&self, job: &UnitJob) {
        if self.refused > 0 {
            self.io.find(Finding {
                severity: Severity::Warning,
                code: "RELOAD_REFUSED".to_owned(),
                summary: format!(
                    "{}: {} documents of files are refused by the target: {}",
                    job.unit,
                    self.refused,
                    self.told.join("; ")
                ),
                remedy: "what the source has and the target lacks is told by the verification".to_owned(),
            });
        }
    }
}

fn parsed(line: &[u8]) -> Result<Write, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|e| format!("it is no document: {e}"))?;
    let key = Key { id: line._id, place: line._routing };
    let body = on_one_line(line._source.get().as_bytes()).into_owned();
    Ok(Write { key, version: VERSION, body: Some(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_document_as_a_dump_writes_it_and_numbers_keep_their_digits() {
        let line =
            br#"{"_index":"a","_type":"_doc","_id":"7","_score":1,"_routing":"r","_source":{"n": 1.00 }}"#;
        let write = parsed(line).expect("a document");
        assert_eq!((write.key.id.as_str(), write.key.place.as_deref(), write.version), ("7", Some("r"), 1));
        assert_eq!(write.body.as_deref(), Some(&b"{\"n\":1.00}"[..]));
        assert!(parsed(b"{\"index\":{\"_id\":\"7\"}}").expect_err("no source").contains("no document"));
    }

    #[test]
    fn files_of_a_unit_are_told_from_those_of_others_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["a.ndjson", "a.2.ndjson", "a.1.ndjson", "ab.ndjson", "a.txt", "b.ndjson"] {
            paths::replace(&dir.path().join(name), b"").expect("written");
        }
        let found = listed(dir.path(), "a").expect("listed");
        let names: Vec<_> = found.iter().map(|p| p.file_name().expect("a name").to_string_lossy()).collect();
        assert_eq!(names, ["a.1.ndjson", "a.2.ndjson", "a.ndjson"]);
    }
}
