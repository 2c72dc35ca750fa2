//! Tables of the functions that look at paths, files and the environment.

use segue_contract::paths;

use super::{eval_in, fails, gives, gives_in};

#[test]
fn paths_are_taken_apart_by_their_text() {
    gives(&[
        (r#"abspath("a/../b")"#, r#""/spec/b""#),
        (r#"abspath("/a/./b/")"#, r#""/a/b""#),
        (r#"abspath("../../../x")"#, r#""/x""#),
        (r#"abspath("")"#, r#""/spec""#),
        (r#"basename("foo/bar/baz.txt")"#, r#""baz.txt""#),
        (r#"basename("")"#, r#"".""#),
        (r#"basename("/")"#, r#""/""#),
        (r#"basename("a/")"#, r#""a""#),
        (r#"dirname("foo/bar/baz.txt")"#, r#""foo/bar""#),
        (r#"dirname("")"#, r#"".""#),
        (r#"dirname("a")"#, r#"".""#),
        (r#"dirname("/")"#, r#""/""#),
        (r#"dirname("/a")"#, r#""/""#),
        (r#"dirname("a//b/../c")"#, r#""a""#),
        (r#"dirname("a/b/")"#, r#""a/b""#),
        (r#"dirname("../../a")"#, r#""../..""#),
    ]);
    fails(&[
        ("abspath(null)", Some(0), "must be a string"),
        ("basename([])", Some(0), "must be a string"),
        ("dirname({})", Some(0), "must be a string"),
    ]);
}

#[test]
fn files_are_read_from_the_directory_of_the_spec() {
    let dir = tempfile::tempdir().unwrap();
    paths::replace(&dir.path().join("a.txt"), b"h\xc3\xa9llo\n").unwrap();
    paths::replace(&dir.path().join("empty"), b"").unwrap();
    paths::replace(&dir.path().join("latin1"), b"h\xe9llo").unwrap();
    paths::create_dir_all(&dir.path().join("sub")).unwrap();
    let absolute = dir.path().join("a.txt");
    gives_in(
        dir.path(),
        &[
            (r#"file("a.txt")"#, r#""héllo\n""#),
            (r#"file("sub/../a.txt")"#, r#""héllo\n""#),
            (r#"file("empty")"#, r#""""#),
            (&format!("file(\"{}\")", absolute.display()), r#""héllo\n""#),
            (r#"fileexists("a.txt")"#, "true"),
            (r#"fileexists("nope")"#, "false"),
            (r#"fileexists("nope/deeper")"#, "false"),
        ],
    );
    for (text, expected) in [
        (r#"file("nope")"#, "No such file or directory"),
        (r#"file("sub")"#, "not a regular file"),
        (r#"file("latin1")"#, "not UTF-8 text"),
        (r#"file("")"#, "the path is empty"),
        (r#"file("/dev/zero")"#, "not a regular file"),
        (r#"fileexists("sub")"#, "not a regular file"),
        (r#"fileexists("a.txt/x")"#, "cannot tell"),
        (r#"file("~/nope")"#, "/home/tester/nope"),
    ] {
        let error = eval_in(text, dir.path()).unwrap_err();
        assert!(error.message.contains(expected), "{text}: {error}");
        assert_eq!(error.argument, Some(0), "{text}");
    }
}

#[test]
fn a_file_larger_than_a_setting_can_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = paths::create_private(&dir.path().join("big")).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    let error = eval_in(r#"file("big")"#, dir.path()).unwrap_err();
    assert!(error.message.contains("larger than 16 MiB"), "{error}");
    file.set_len(16 << 20).unwrap();
    assert!(eval_in(r#"file("big")"#, dir.path()).is_ok());
}

#[test]
fn an_environment_variable_is_sensitive_and_must_be_set() {
    gives(&[
        (r#"env("TOKEN")"#, r#"env:TOKEN("tok-123")"#),
        (r#"env("EMPTY")"#, r#"env:EMPTY("")"#),
        (r#"env(secret("TOKEN"))"#, r#"secret("tok-123")"#),
    ]);
    fails(&[
        (
            r#"env("UNSET")"#,
            Some(0),
            "is not set: set it before you run the command again, such as with: export UNSET=...",
        ),
        (r#"env("")"#, Some(0), "not a name"),
        (r#"env("A=B")"#, Some(0), "not a name"),
        (r#"env(null)"#, Some(0), "must be a string"),
    ]);
}
