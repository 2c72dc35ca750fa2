//! Functions of the world around the spec: paths, files, the environment. Relative paths start at the
//! directory of the spec; `~/` is the home directory.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;

use segue_contract::paths::{self, PathError};

use super::super::value::{Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome};

/// The largest file that `file` reads. What a spec reads are settings, certificates, lists; data is moved
/// by migrations.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// `path` without `.`, `..`, double or trailing slashes, by its text alone: symbolic links are not followed.
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
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// The last part of a path; `.` for an empty one.
pub(super) fn basename(args: &Args<'_>) -> Outcome {
    let path = args.text(0)?;
    let trimmed = path.trim_end_matches('/');
    Ok(Value::string(match trimmed.rsplit('/').next() {
        _ if path.is_empty() => ".",
        _ if trimmed.is_empty() => "/",
        Some(last) => last,
        None => trimmed,
    }))
}

/// All but the last part of a path, cleaned; `.` where there is nothing before it.
pub(super) fn dirname(args: &Args<'_>) -> Outcome {
    let path = args.text(0)?;
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(Value::string(clean(path.get(..end).unwrap_or_default())))
}

pub(super) fn abspath(args: &Args<'_>) -> Outcome {
    let path = args.text(0)?;
    let joined = args.context.base_dir.join(&*path);
    let absolute = std::path::absolute(&joined).map_err(|why| {
        Fault::at(0, "cannot make the path absolute").detail(format!("{}: {why}", joined.display()))
    })?;
    match absolute.to_str() {
        Some(absolute) => Ok(Value::string(clean(absolute))),
        None => Err(Fault::at(0, "the directory of the spec has a name that is not UTF-8")
            .detail(absolute.display().to_string())),
    }
}

/// Where a path of the spec leads.
fn resolve(args: &Args<'_>, path: &str) -> Result<PathBuf, Fault> {
    if path.is_empty() {
        return Err(Fault::at(0, "the path is empty"));
    }
    let home = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            (args.context.env)("HOME").map(|home| home + rest)
        }
        _ => None,
    };
    Ok(args.context.base_dir.join(home.as_deref().unwrap_or(path)))
}

/// Whether a regular file is there.
///
/// A directory, or anything else that is no regular file, is an error, as in Terraform.
pub(super) fn fileexists(args: &Args<'_>) -> Outcome {
    let path = resolve(args, &args.text(0)?)?;
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Value::bool(true)),
        Ok(_) => Err(Fault::at(0, "not a regular file").detail(path.display().to_string())),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(Value::bool(false)),
        Err(why) => Err(Fault::at(0, "cannot tell").detail(PathError::new("look at", path, why).to_string())),
    }
}

/// The text of a file.
pub(super) fn file(args: &Args<'_>) -> Outcome {
    let path = resolve(args, &args.text(0)?)?;
    // A pipe or a device would wait, or never end: looked at before it is opened.
    let is_file = path.metadata().map_err(|why| unread(&PathError::new("read", &path, why)))?.is_file();
    if !is_file {
        return Err(Fault::at(0, "not a regular file").detail(path.display().to_string()));
    }
    let mut bytes = Vec::new();
    paths::open(&path)
        .map_err(|why| unread(&why))?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|why| unread(&PathError::new("read", &path, why)))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE_BYTES) {
        return Err(Fault::at(
            0,
            format!(
                "the file is larger than {} MiB; file() is for settings, and data is moved by a migration",
                MAX_FILE_BYTES >> 20
            ),
        )
        .detail(path.display().to_string()));
    }
    String::from_utf8(bytes).map(Value::string).map_err(|_| {
        Fault::at(0, "the file is not UTF-8 text, and strings hold nothing else")
            .detail(path.display().to_string())
    })
}

fn unread(why: &PathError) -> Fault {
    let hint = why.remedy().map_or_else(String::new, |remedy| format!("; {remedy}"));
    Fault::at(0, "no such file, or not readable").detail(format!("{why}{hint}"))
}

/// The value of an environment variable: sensitive, and known to be read again from there.
pub(super) fn env(args: &Args<'_>) -> Outcome {
    let name: Arc<str> = args.text(0)?;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(
            Fault::at(0, "not a name that an environment variable can have").detail(format!("{name:?}"))
        );
    }
    let text = (args.context.env)(&name).ok_or_else(|| {
        Fault::at(0, "the environment variable is not set")
            .detail(format!("set it before you run the command again, such as with: export {name}=..."))
    })?;
    let mut value = Value::string(text);
    value.sensitive = Sensitivity::Env(name);
    Ok(value)
}
