//! Functions of paths, and the two ways out of the spec: files and environment variables. Paths are text:
//! only `file` and `fileexists` look at the disk.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use segue_contract::paths::{PathError, open};

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, MAX_TEXT_BYTES, Outcome};

/// The shortest path that means the same, without asking the disk: `a//b/./../c/` is `a/c`, nothing is `.`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// The last part; `.` for the empty path.
pub(super) fn basename(args: &Args<'_>) -> Outcome {
    let path = args.text(0)?;
    let trimmed = path.trim_end_matches('/');
    Ok(Value::string(match (trimmed.is_empty(), path.is_empty()) {
        (_, true) => ".",
        (true, false) => "/",
        (false, false) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }))
}

/// All but what follows the last slash; `.` where there is none.
pub(super) fn dirname(args: &Args<'_>) -> Outcome {
    let path = args.text(0)?;
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(Value::string(clean(path.get(..end).unwrap_or_default())))
}

/// The path from the root; relative ones start at the directory of the spec.
pub(super) fn abspath(args: &Args<'_>) -> Outcome {
    let path = args.context.base_dir.join(&*args.text(0)?);
    let path = std::path::absolute(&path)
        .map_err(|why| Fault::at(0, "cannot tell where the path starts").detail(why.to_string()))?;
    Ok(Value::string(clean(text_of(&path)?)))
}

fn text_of(path: &Path) -> Result<&str, Fault> {
    path.to_str().ok_or_else(|| {
        Fault::at(
            0,
            "the directory of the spec has a name that is not UTF-8; move the spec",
        )
        .detail(path.display().to_string())
    })
}

/// Where a file is: relative to the directory of the spec; `~/` is the home directory.
fn place(args: &Args<'_>) -> Result<PathBuf, Fault> {
    let path = args.text(0)?;
    let in_home = match &*path {
        "~" => Some(""),
        path => path.strip_prefix("~/"),
    };
    match in_home {
        None => Ok(args.context.base_dir.join(&*path)),
        Some(rest) => {
            let home = (args.context.env)("HOME").ok_or_else(|| {
                Fault::at(
                    0,
                    "`~` is the home directory, and the environment has no HOME; write the whole path",
                )
            })?;
            Ok(Path::new(&home).join(rest))
        }
    }
}

/// Whether there is a file. Something else of this name is an error: it is not the file that was meant.
pub(super) fn fileexists(args: &Args<'_>) -> Outcome {
    let path = place(args)?;
    match is_file(&path) {
        Ok(()) => Ok(Value::bool(true)),
        Err(Trouble::Missing(_)) => Ok(Value::bool(false)),
        Err(trouble) => Err(trouble.fault(&path)),
    }
}

/// Why a path cannot be read as a file.
enum Trouble {
    Missing(PathError),
    Failed(PathError),
    NotAFile(&'static str),
    TooLarge,
    NotText,
}

impl Trouble {
    /// The path may be a secret, so it is in the detail.
    fn fault(self, path: &Path) -> Fault {
        let path = path.display();
        match self {
            Self::Missing(why) => Fault::at(
                0,
                "there is no such file; relative paths start at the directory of the spec",
            )
            .detail(why.to_string()),
            Self::Failed(why) => Fault::at(0, "the file cannot be read").detail(why.to_string()),
            Self::NotAFile(what) => Fault::at(0, format!("not a file but {what}")).detail(path.to_string()),
            Self::TooLarge => Fault::at(
                0,
                format!(
                    "the file is larger than {} MiB; let it be copied, not read into the spec",
                    MAX_TEXT_BYTES >> 20
                ),
            )
            .detail(path.to_string()),
            Self::NotText => Fault::at(0, "the file is not UTF-8 text, and there are no strings of bytes")
                .detail(path.to_string()),
        }
    }

    fn of(error: PathError) -> Self {
        match error.source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing(error),
            _ => Self::Failed(error),
        }
    }
}

/// Looks before opening, since opening a pipe waits for somebody to write.
fn is_file(path: &Path) -> Result<(), Trouble> {
    let found = std::fs::metadata(path).map_err(|why| Trouble::of(PathError::new("read", path, why)))?;
    if found.is_file() {
        Ok(())
    } else if found.is_dir() {
        Err(Trouble::NotAFile("a directory"))
    } else {
        Err(Trouble::NotAFile("a pipe, socket or device"))
    }
}

/// The content of a text file.
pub(super) fn file(args: &Args<'_>) -> Outcome {
    let path = place(args)?;
    let text = read(&path).map_err(|trouble| trouble.fault(&path))?;
    Ok(Value::string(text))
}

fn read(path: &Path) -> Result<String, Trouble> {
    is_file(path)?;
    let limit = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // Not by the size that the system tells: files in /proc have none.
    open(path)
        .map_err(Trouble::of)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|why| Trouble::of(PathError::new("read", path, why)))?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(Trouble::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Trouble::NotText)
}

/// An environment variable. Always sensitive, and it is remembered where it can be read again.
pub(super) fn env(args: &Args<'_>) -> Outcome {
    let name = args.text(0)?;
    match (args.context.env)(&name) {
        Some(text) => Ok(Value {
            data: Data::String(text.into()),
            sensitive: Sensitivity::Env(name),
        }),
        None => Err(Fault::at(
            0,
            "this environment variable is not set; set it, or give another value with try(env(...), ...)",
        )
        .detail(format!("{name:?}"))),
    }
}
