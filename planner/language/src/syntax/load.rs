//! Reading spec files: which files belong to a spec, and their text as the rest of the language sees it
//! (UTF-8, no byte order mark, line ends as `\n`).

use std::path::{Path, PathBuf};

use segue_contract::{paths, segue};

use super::diagnostic::{Diagnostic, Diagnostics, Span};

/// What a spec's files end with.
const ENDING: &str = ".segue.hcl";

/// Larger files are refused: the tree of a file takes some forty times its text.
const MAX_FILE_BYTES: usize = 64 << 20;

/// One file of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it is named in messages.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its text. Spans count from here.
    pub text: String,
}

/// Which files make a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecPath {
    /// Every `*.segue.hcl` of a directory.
    Dir(PathBuf),
    /// One file.
    File(PathBuf),
}

impl SpecPath {
    /// The directory that relative paths and commands start at; absolute if the current directory can be
    /// found out.
    pub fn base_dir(&self) -> PathBuf {
        let dir = match self {
            Self::Dir(dir) => dir.as_path(),
            Self::File(file) => file.parent().unwrap_or(Path::new("")),
        };
        absolute(dir)
    }
}

/// Absolute and without `.` and doubled separators; `..` and symlinks stay as they are.
fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let joined = match std::env::current_dir() {
        Ok(cwd) if path.is_relative() => cwd.join(path),
        _ => path.to_path_buf(),
    };
    joined.components().collect()
}

/// Reads the files of a spec, sorted by name. A file that cannot be read is told and left out.
pub(crate) fn read_sources(spec: &SpecPath, diagnostics: &mut Diagnostics) -> Vec<Source> {
    let files = match spec {
        SpecPath::File(file) => vec![file.clone()],
        SpecPath::Dir(dir) => match list(dir) {
            Ok(files) if files.is_empty() => {
                diagnostics.push(
                    Diagnostic::error("SPEC_NO_FILES", format!("no *{ENDING} file in {}", dir.display()))
                        .help(format!(
                            "write one (`{}` does), or name its directory with -C or its file with --spec",
                            segue(&["init"])
                        )),
                );
                return Vec::new();
            }
            Ok(files) => files,
            Err(error) => {
                diagnostics.push(
                    Diagnostic::error("SPEC_UNREADABLE", format!("cannot list {}: {error}", dir.display()))
                        .help("name the directory of the spec with -C, or its file with --spec"),
                );
                return Vec::new();
            }
        },
    };
    let mut sources = Vec::new();
    for path in files {
        if let Some(source) = read_file(path, sources.len(), diagnostics) {
            sources.push(source);
        }
    }
    sources
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(ENDING) && !name.starts_with('.') {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file; `index` is the place that it will have in the sources.
pub(crate) fn read_file(path: PathBuf, index: usize, diagnostics: &mut Diagnostics) -> Option<Source> {
    let name = path.display().to_string();
    let bytes = match paths::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let mut diagnostic = Diagnostic::error("SPEC_UNREADABLE", error.to_string());
            diagnostic.help = error.remedy();
            diagnostics.push(diagnostic);
            return None;
        }
    };
    if bytes.len() > MAX_FILE_BYTES {
        diagnostics.push(
            Diagnostic::error(
                "SPEC_TOO_LARGE",
                format!("{name} has {} bytes; a spec's file may have {MAX_FILE_BYTES}", bytes.len()),
            )
            .help("split it, or keep data beside it and read it with jsondecode(file(...))"),
        );
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source { name, path, text: normalise(&text) }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let at = normalise(&String::from_utf8_lossy(&error.as_bytes()[..valid])).len();
            let text = normalise(&String::from_utf8_lossy(error.as_bytes()));
            let line = text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1;
            diagnostics.push(
                Diagnostic::error("SPEC_NOT_UTF8", format!("{name} is not UTF-8 (line {line})"))
                    .at(Span { file: index, range: at..at }, "the first bytes that are not UTF-8")
                    .help("save the file as UTF-8"),
            );
            Some(Source { name, path, text })
        }
    }
}

/// Without byte order mark, with `\n` line ends.
pub(crate) fn normalise(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_owned() }
}
