//! Tables of the functions that read and write JSON, CSV, YAML, base64 and hashes.

use super::{fails, gives};

#[test]
fn json_is_read_and_written_exactly() {
    gives(&[
        (r#"jsondecode("{\"a\":[1,2.5,null,true]}")"#, "{a=[1,2.5,null,true]}"),
        (r#"jsondecode("9223372036854775807")"#, "9223372036854775807"),
        (r#"jsondecode("[-9223372036854775808, 1.0, 1e3, -0]")"#, "[-9223372036854775808,1,1000,0]"),
        (
            r#"jsondecode("\"99999999999999999999 \\\" 99999999999999999999\"")"#,
            r#""99999999999999999999 \" 99999999999999999999""#,
        ),
        (r#"jsondecode("1e300")"#, "1e300"),
        (r#"jsondecode("{\"a\":1,\"a\":2}")"#, "{a=2}"),
        (
            r#"jsonencode({b = [1, 2.5, "<>&\u2028é"], a = null})"#,
            r#""{\"a\":null,\"b\":[1,2.5,\"\\u003c\\u003e\\u0026\\u2028é\"]}""#,
        ),
        (r#"jsonencode("a\u0001\n\t\\\"")"#, r#""\"a\\u0001\\n\\t\\\\\\\"\"""#),
        (r#"jsonencode(0.1)"#, r#""0.1""#),
        (r#"jsonencode(null)"#, r#""null""#),
        (r#"jsonencode(toset(["b", "a"]))"#, r#""[\"a\",\"b\"]""#),
        (r#"jsonencode(block())"#, r#""{\"path\":\"/srv\"}""#),
        (
            r#"jsondecode(jsonencode([1e30, 1.5, 9007199254740993, -1e300]))"#,
            "[1e30,1.5,9007199254740993,-1e300]",
        ),
    ]);
    fails(&[
        (r#"jsondecode("")"#, Some(0), "not valid JSON"),
        (r#"jsondecode("{} x")"#, Some(0), "not valid JSON"),
        (r#"jsondecode("1e400")"#, Some(0), "not valid JSON"),
        (r#"jsondecode("{\"a\": [1, 12345678901234567890]}")"#, Some(0), "12345678901234567890"),
        (r#"jsondecode("-9223372036854775809")"#, Some(0), "does not fit in 64 bits"),
        (r#"jsondecode(null)"#, Some(0), "must not be null"),
    ]);
    let deep = format!("jsondecode(\"{}\")", "[".repeat(10_000));
    fails(&[(&deep, Some(0), "not valid JSON")]);
}

#[test]
fn other_encodings_give_what_terraform_gives() {
    gives(&[
        (r#"csvdecode("a,b\n1,2\n3,4\n")"#, r#"[{a="1",b="2"},{a="3",b="4"}]"#),
        (r#"csvdecode("a,b\r\n\"x\"\"y\",\"l1\nl2\"\n\n3,4")"#, r#"[{a="x\"y",b="l1\nl2"},{a="3",b="4"}]"#),
        (r#"csvdecode("a,b\n")"#, "[]"),
        (
            r#"yamldecode("a: 1\nb: [x, 1.5, true, null, ~]\nc: 2020-01-01")"#,
            r#"{a=1,b=["x",1.5,true,null,null],c="2020-01-01"}"#,
        ),
        (r#"yamldecode("a: &x 1\nb: *x")"#, "{a=1,b=1}"),
        (r#"yamldecode("1: a\ntrue: b")"#, r#"{1="a",true="b"}"#),
        (r#"yamldecode("- a\n- b: c")"#, r#"["a",{b="c"}]"#),
        (r#"yamldecode("a: 0x1f\nb: 0o17\nc: !!str 5\nd: yes")"#, r#"{a=31,b=15,c="5",d="yes"}"#),
        (r#"yamldecode("x: &x {a: 1}\ny:\n  <<: *x\n  b: 2")"#, "{x={a=1},y={a=1,b=2}}"),
        (r#"yamldecode("null")"#, "null"),
        (r#"yamldecode("--- 5\n")"#, "5"),
        (r#"yamldecode("9223372036854775807")"#, "9223372036854775807"),
        (r#"base64decode("aGVsbG8=")"#, r#""hello""#),
        (r#"base64decode("aGVs\nbG8=\n")"#, r#""hello""#),
        (r#"base64decode("")"#, r#""""#),
        (r#"base64encode("hello")"#, r#""aGVsbG8=""#),
        (r#"base64encode("")"#, r#""""#),
        (r#"sha256("hello world")"#, r#""b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9""#),
        (r#"sha256("")"#, r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#),
    ]);
}

#[test]
fn other_encodings_refuse_what_is_not_theirs() {
    fails(&[
        (r#"csvdecode("a,b\n1\n")"#, Some(0), "not valid CSV"),
        (r#"csvdecode("a,a\n1,2\n")"#, Some(0), "same name: \"a\""),
        (r#"csvdecode("")"#, Some(0), "no header line"),
        (r#"csvdecode([])"#, Some(0), "must be a string"),
        (r#"yamldecode("")"#, Some(0), "empty"),
        (r##"yamldecode("# only a comment\n")"##, Some(0), "empty"),
        (r#"yamldecode("---\na: 1\n---\nb: 2")"#, Some(0), "more than one document"),
        (r#"yamldecode("b: !foo x")"#, Some(0), "has a tag"),
        (r#"yamldecode("a: [")"#, Some(0), "not valid YAML"),
        (r#"yamldecode("a: 1\na: 2")"#, Some(0), "not valid YAML"),
        (r#"yamldecode("a: .nan")"#, Some(0), "infinite, no number"),
        (r#"yamldecode("a: .inf")"#, Some(0), "infinite, no number"),
        (r#"yamldecode("a: 9223372036854775808")"#, Some(0), "does not fit in 64 bits"),
        (r#"yamldecode("[a]: 1")"#, Some(0), "a key of the YAML"),
        (r#"base64decode("/w==")"#, Some(0), "not UTF-8"),
        (r#"base64decode("a")"#, Some(0), "not valid base64"),
        (r#"base64decode("aGVsbG8")"#, Some(0), "not valid base64"),
        (r#"base64encode([])"#, Some(0), "must be a string"),
        (r#"sha256(null)"#, Some(0), "must be a string"),
    ]);
}

#[test]
fn a_yaml_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\\n");
    for n in 1..9 {
        let before = format!("*a{}, ", n - 1).repeat(9);
        bomb.push_str(&format!("a{n}: &a{n} [{before}]\\n"));
    }
    fails(&[(&format!("yamldecode(\"{bomb}\")"), Some(0), "not valid YAML")]);
}
