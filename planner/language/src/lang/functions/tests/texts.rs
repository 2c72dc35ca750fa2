//! Tables of the functions of numbers, strings, patterns and formats.

use super::{fails, gives};

#[test]
fn numbers_give_what_terraform_gives() {
    gives(&[
        ("abs(-5.5)", "5.5"),
        ("abs(\"-3\")", "3"),
        ("abs(0)", "0"),
        ("ceil(5.1)", "6"),
        ("ceil(-5.1)", "-5"),
        ("ceil(-0.5)", "0"),
        ("ceil(9223372036854775807)", "9223372036854775807"),
        ("floor(-5.1)", "-6"),
        ("floor(7)", "7"),
        ("floor(1e300)", "1e300"),
        ("max(1, \"5\", 3.5)", "5"),
        ("max(2)", "2"),
        ("min(1, -5, 3.5)", "-5"),
        ("min(9007199254740993, 9007199254740992)", "9007199254740992"),
        ("parseint(\"FF\", 16)", "255"),
        ("parseint(\"1011111011101111\", 2)", "48879"),
        ("parseint(\"aA\", 62)", "656"),
        ("parseint(\"zz\", 36)", "1295"),
        ("parseint(\"+5\", 10)", "5"),
        ("parseint(\"-9223372036854775808\", 10)", "-9223372036854775808"),
        ("sum([1, 2.5])", "3.5"),
        ("sum([\"1\", 2])", "3"),
        ("sum(toset([1, 2]))", "3"),
        ("sum([9223372036854775806, 1])", "9223372036854775807"),
        ("range(3)", "[0,1,2]"),
        ("range(\"2\")", "[0,1]"),
        ("range(1, 8, 2)", "[1,3,5,7]"),
        ("range(4, 1)", "[4,3,2]"),
        ("range(10, 5, -2)", "[10,8,6]"),
        ("range(0)", "[]"),
        ("range(-3)", "[0,-1,-2]"),
        ("range(0.5, 2, 0.5)", "[0.5,1,1.5]"),
        ("range(9223372036854775805, 9223372036854775807, 5)", "[9223372036854775805]"),
        ("length(range(1024))", "1024"),
        ("duration(\"1h30m\")", "5400000"),
        ("duration(\"0\")", "0"),
        ("bytes(\"50MiB\")", "52428800"),
        ("bytes(512)", "512"),
    ]);
}

#[test]
fn numbers_refuse_what_has_no_exact_result() {
    fails(&[
        ("abs(-9223372036854775808)", None, "does not fit in 64 bits"),
        ("abs(\"x\")", Some(0), "must be a number"),
        ("abs(null)", Some(0), "must be a number, and must not be null"),
        ("ceil([])", Some(0), "must be a number, got list"),
        ("floor(true)", Some(0), "must be a number, got bool"),
        ("max(1, \"x\")", Some(1), "argument 2 must be a number"),
        ("min(1, {})", Some(1), "argument 2 must be a number, got map"),
        ("parseint(\"12\", 2)", Some(0), "not a whole number in this base"),
        ("parseint(\"\", 10)", Some(0), "not a whole number"),
        ("parseint(\"-\", 10)", Some(0), "not a whole number"),
        ("parseint(\"1_000\", 10)", Some(0), "not a whole number"),
        ("parseint(12, 10)", Some(0), "must be a string, got number"),
        ("parseint(\"5\", 1)", Some(1), "between 2 and 62"),
        ("parseint(\"5\", 63)", Some(1), "between 2 and 62"),
        ("parseint(\"9223372036854775808\", 10)", Some(0), "does not fit in 64 bits"),
        ("sum([])", Some(0), "empty"),
        ("sum([1, null])", Some(0), "element 1 of argument 1 must be a number, got null"),
        ("sum(\"a\")", Some(0), "list or set, got string"),
        ("sum([9223372036854775807, 1])", None, "does not fit in 64 bits"),
        ("sum([1e308, 1e308])", None, "does not fit in 64 bits"),
        ("range(1025)", None, "more than 1024"),
        ("range(1, 5, 0)", Some(2), "must not be zero"),
        ("range(1, 5, -1)", Some(2), "must be positive"),
        ("range(5, 1, 1)", Some(2), "must be negative"),
        ("range(0, 9223372036854775807)", None, "more than 1024"),
        ("duration(\"5\")", Some(0), "has no unit"),
        ("duration(\"999999999999d\")", Some(0), "too large"),
        ("duration([])", Some(0), "must be a string"),
        ("bytes(\"5mb\")", Some(0), "write MB for thousands or MiB for 1024s"),
        ("bytes(\"9223372036854775808\")", None, "does not fit in 64 bits"),
    ]);
}

#[test]
fn strings_give_what_terraform_gives() {
    gives(&[
        (r#"chomp("hello\r\n\n")"#, r#""hello""#),
        (r#"chomp("\n")"#, r#""""#),
        (r#"indent(2, "a\nb\n\nc")"#, r#""a\n  b\n  \n  c""#),
        (r#"indent(0, "a\nb")"#, r#""a\nb""#),
        (r#"join(",", ["a"], [], ["b"])"#, r#""a,b""#),
        (r#"join(",", [1, true])"#, r#""1,true""#),
        (r#"join(",", toset(["b", "a"]))"#, r#""a,b""#),
        (r#"join(",", [])"#, r#""""#),
        (r#"lower("ÀÉ")"#, r#""àé""#),
        (r#"upper("straße")"#, r#""STRAßE""#),
        (r#"upper(5)"#, r#""5""#),
        (r#"split(",", "a,,b")"#, r#"["a","","b"]"#),
        (r#"split(",", "")"#, r#"[""]"#),
        (r#"split("", "aé")"#, r#"["a","é"]"#),
        (r#"split("", "")"#, "[]"),
        (r#"startswith("abc", "ab")"#, "true"),
        (r#"startswith("abc", "")"#, "true"),
        (r#"startswith("abc", "b")"#, "false"),
        (r#"endswith("abc", "bc")"#, "true"),
        (r#"endswith("", "c")"#, "false"),
        (r#"strrev("héllo")"#, r#""olléh""#),
        (r#"strrev("")"#, r#""""#),
        (r#"substr("hello world", 1, 4)"#, r#""ello""#),
        (r#"substr("hello", -3, -1)"#, r#""llo""#),
        (r#"substr("hello", -3, 2)"#, r#""ll""#),
        (r#"substr("hello", 10, 2)"#, r#""""#),
        (r#"substr("hello", -10, 2)"#, r#""he""#),
        (r#"substr("hello", 2, 0)"#, r#""""#),
        (r#"substr("hello", 2, 10)"#, r#""llo""#),
        (r#"substr("hello", 0, -3)"#, r#""hello""#),
        (r#"substr("äöü", 1, 1)"#, r#""ö""#),
        (r#"substr("a", -9223372036854775808, 9223372036854775807)"#, r#""a""#),
        (r#"title("hello wörld-foo bar_baz éa")"#, r#""Hello Wörld-Foo Bar_baz Éa""#),
        (r#"title("o'neill's 3com x2y")"#, r#""O'Neill'S 3com X2y""#),
        (r#"trim("?!hello?!", "!?")"#, r#""hello""#),
        (r#"trim("  hello", "")"#, r#""  hello""#),
        (r#"trimprefix("helloworld", "hello")"#, r#""world""#),
        (r#"trimprefix("xxa", "x")"#, r#""xa""#),
        (r#"trimsuffix("axx", "x")"#, r#""ax""#),
        (r#"trimsuffix("a", "b")"#, r#""a""#),
        (r#"trimspace("\t a \u00a0\n")"#, r#""a""#),
    ]);
}

#[test]
fn strings_refuse_what_is_none() {
    fails(&[
        ("chomp(null)", Some(0), "must be a string, and must not be null"),
        (r#"indent(-1, "a")"#, Some(0), "must not be negative"),
        (r#"indent(1.5, "a")"#, Some(0), "must be a whole number: 1.5"),
        (r#"indent(99999999999, "a\nb")"#, None, "longer than 16 MiB"),
        (r#"join(",", ["a", null])"#, Some(1), "element 1 of argument 2 must be a string, got null"),
        (r#"join(",", "a")"#, Some(1), "must be a list or set, got string"),
        (r#"join(",", ["a"], [["a"]])"#, Some(2), "element 0 of argument 3"),
        ("lower([])", Some(0), "must be a string, got list"),
        ("upper({})", Some(0), "must be a string, got map"),
        (r#"split(",", [])"#, Some(1), "must be a string"),
        (r#"startswith([], "a")"#, Some(0), "must be a string"),
        (r#"endswith("a", null)"#, Some(1), "must be a string"),
        ("strrev([])", Some(0), "must be a string"),
        (r#"substr("a", "b", 1)"#, Some(1), "argument 2 must be a number"),
        (r#"substr("a", 0.5, 1)"#, Some(1), "whole number"),
        ("title([])", Some(0), "must be a string"),
        (r#"trim("a", [])"#, Some(1), "must be a string"),
        (r#"trimprefix("a", [])"#, Some(1), "must be a string"),
        (r#"trimsuffix([], "a")"#, Some(0), "must be a string"),
        ("trimspace({})", Some(0), "must be a string"),
    ]);
}

#[test]
fn patterns_give_what_terraform_gives() {
    gives(&[
        (r#"replace("1 + 2 + 3", "+", "-")"#, r#""1 - 2 - 3""#),
        (r#"replace("hello world", "/w.*d/", "everybody")"#, r#""hello everybody""#),
        (r#"replace("hello world", "/(?P<x>w)(o)/", "[$x$2$1]")"#, r#""hello [wow]rld""#),
        (r#"replace("abc", "/(b)/", "$1x")"#, r#""ac""#),
        (r#"replace("abc", "/(b)/", "$$")"#, r#""a$c""#),
        (r#"replace("abc", "b", "$1")"#, r#""a$1c""#),
        (r#"replace("abc", "", "-")"#, r#""-a-b-c-""#),
        (r#"replace("a/c", "/", "-")"#, r#""a-c""#),
        (r#"replace("a//c", "//", "-")"#, r#""-a-/-/-c-""#),
        (r#"regex("[a-z]+", "534.345aaabbbccc23454")"#, r#""aaabbbccc""#),
        (r#"regex("(\\d\\d\\d\\d)-(\\d\\d)", "2019-02")"#, r#"["2019","02"]"#),
        (
            r#"regex("^(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?", "https://t.io/docs/")"#,
            r#"{authority="t.io",scheme="https"}"#,
        ),
        (r#"regex("(a)|(b)", "b")"#, r#"[null,"b"]"#),
        (r#"regex("", "")"#, r#""""#),
        (r#"regexall("[a-z]+", "1234abcd5678efgh9")"#, r#"["abcd","efgh"]"#),
        (r#"regexall("[a-z]+", "123")"#, "[]"),
        (r#"regexall("(a)(b)", "abab")"#, r#"[["a","b"],["a","b"]]"#),
        (r#"regexall("(?P<k>a)", "aa")"#, r#"[{k="a"},{k="a"}]"#),
        (r#"regexall("a*", "baac")"#, r#"["","aa",""]"#),
    ]);
    fails(&[
        (r#"replace("abc", "/(/", "-")"#, Some(1), "not a valid regular expression"),
        (r#"replace("abc", "a", null)"#, Some(2), "must be a string"),
        (r#"regex("(?P<a>x)(y)", "xy")"#, Some(0), "both named and unnamed"),
        (r#"regex("q", "x")"#, Some(1), "matches no part of the string: /q/ in \"x\""),
        (r#"regex("(", "x")"#, Some(0), "not a valid regular expression"),
        (r#"regexall("(", "x")"#, Some(0), "not a valid regular expression"),
        (r#"regexall("(?P<a>x)(y)", "xy")"#, Some(0), "both named and unnamed"),
    ]);
}

#[test]
fn a_replacement_cannot_take_all_memory() {
    let long = "a".repeat(1 << 13);
    fails(&[(&format!("replace(\"{long}\", \"a\", \"{long}\")"), None, "longer than 16 MiB")]);
    fails(&[(&format!("replace(\"{long}\", \"/a/\", \"{long}\")"), None, "longer than 16 MiB")]);
}

#[test]
fn formats_give_what_terraform_gives() {
    gives(&[
        (r#"format("%v %v %v", true, 1.5, [1, "a", {b = 1}])"#, r#""true 1.5 [1,\"a\",{\"b\":1}]""#),
        (
            r#"format("%05d|%-5d|%+d|%x|%X|%o|%b", 42, 42, 42, 255, 255, 8, 5)"#,
            r#""00042|42   |+42|ff|FF|10|101""#,
        ),
        (
            r#"format("%5.2f|%e|%g|%G", 3.14159, 12345.678, 0.0000001, 1e20)"#,
            r#"" 3.14|1.234568e+04|1e-07|1E+20""#,
        ),
        (r#"format("%q", "a\"b\n")"#, r#""\"a\\\"b\\n\"""#),
        (r#"format("%10s|%-10s|%.2s", "abc", "abc", "abc")"#, r#""       abc|abc       |ab""#),
        (r#"format("%t %t", "true", false)"#, r#""true false""#),
        (r#"format("%d", "12")"#, r#""12""#),
        (r#"format("100%%")"#, r#""100%""#),
        (r#"format("")"#, r#""""#),
        (r#"format("%[2]s %[1]s", "a", "b")"#, r#""b a""#),
        (r#"format("%[1]s %s", "a", "b")"#, r#""a b""#),
        (r#"format("%#v %#x", "a", 255)"#, r#""\"a\" 0xff""#),
        (r#"format("%s %s %s %s", true, 12, 0.1, 1000000)"#, r#""true 12 0.1 1000000""#),
        (r#"format("% d|% 5d", 42, 3)"#, r#"" 42|    3""#),
        (r#"format("%v|%v|%v", 1000000, 123456789, 123456)"#, r#""1e+06|1.23456789e+08|123456""#),
        (r#"format("%v|%v|%v", 0.1, 0.0001, 0.00001)"#, r#""0.1|0.0001|1e-05""#),
        (r#"format("%v", 9007199254740993)"#, r#""9.007199254740993e+15""#),
        (r#"format("%g|%g|%g", 100000.5, 123456789.5, 0)"#, r#""100000.5|1.234567895e+08|0""#),
        (r#"format("%.3g|%10.3g|%.0f|%5.0f|", 123456, 0.5, 2.5, 3.5)"#, r#""1.23e+05|       0.5|2|    4|""#),
        (r#"format("%f|%.1f|%f", 1, 0.25, 9007199254740993)"#, r#""1.000000|0.2|9007199254740993.000000""#),
        (
            r#"format("%08.3f|%+.1f|%06d|%+06d|%-06d|", 3.14159, 2, -42, 42, 42)"#,
            r#""0003.142|+2.0|-00042|+00042|42    |""#,
        ),
        (r#"format("%8v|%-8v|%8v|%+v|", 12, 1.5, [1], 5)"#, r#""      12|1.5     |     [1]|5|""#),
        (r#"format("%8s|%08s|%5q|", "é", "a", "a")"#, r#""       é|0000000a|  \"a\"|""#),
        (r#"format("%x %.5d", -255, 42)"#, r#""-ff 00042""#),
        (r#"format("%v", {a = "<"})"#, r#""{\"a\":\"\\u003c\"}""#),
        (r#"format("%e|%E", 0, 1.5)"#, r#""0.000000e+00|1.500000E+00""#),
        (r#"format("%d", -9223372036854775808)"#, r#""-9223372036854775808""#),
        (r#"format("%v", null)"#, r#""null""#),
        (r#"formatlist("%s-%s", ["a", "b"], "x")"#, r#"["a-x","b-x"]"#),
        (r#"formatlist("%s", "x")"#, r#"["x"]"#),
        (r#"formatlist("%s %s", [], "a")"#, "[]"),
        (r#"formatlist("%s-%s", toset(["b", "a"]), "x")"#, r#"["a-x","b-x"]"#),
        (r#"formatlist("%v", [[1]])"#, r#"["[1]"]"#),
    ]);
}

#[test]
fn formats_refuse_what_does_not_fit() {
    fails(&[
        (r#"format("%s")"#, Some(0), "not enough arguments for the format: %s needs number 1"),
        (r#"format("%s %s", "a")"#, Some(0), "%s needs number 2 of those after the format, of 1"),
        (r#"format("%[3]s", "a")"#, Some(0), "%[3]s needs number 3"),
        (r#"format("%[0]s", "a")"#, Some(0), "%[0]s needs number 0"),
        (r#"format("%s", "a", "b")"#, Some(2), "too many arguments for the format: it uses 1 of 2"),
        (r#"format("abc", 1)"#, Some(1), "it uses 0 of 1"),
        (r#"format("%z", "a")"#, Some(0), "there is no verb 'z'"),
        (r#"format("%é", "a")"#, Some(0), "there is no verb 'é'"),
        (r#"format("%*d", 5, 42)"#, Some(0), "there is no verb '*'"),
        (r#"format("%")"#, Some(0), "ends inside of a verb"),
        (r#"format("%[x]s", "a")"#, Some(0), "[ must be followed"),
        (r#"format("%d", 1.5)"#, Some(1), "%d needs a whole number, and argument 2 is number"),
        (r#"format("%d", true)"#, Some(1), "%d needs a whole number, and argument 2 is bool"),
        (r#"format("%x", "hello")"#, Some(1), "a string that is none"),
        (r#"format("%s", [1])"#, Some(1), "%s needs a string, and argument 2 is list"),
        (r#"format("%s", null)"#, Some(1), "%s needs a string, and argument 2 is null"),
        (r#"format("%t", 1)"#, Some(1), "%t needs a bool"),
        (r#"format("%999999999d", 1)"#, None, "longer than 16 MiB"),
        (r#"format("%99999999999999999999d", 1)"#, Some(0), "too large"),
        (r#"format("%.99999d", 1)"#, Some(0), "precision above"),
        (r#"format(null)"#, Some(0), "must be a string"),
        (
            r#"formatlist("%s %s", ["a", "b"], ["c"])"#,
            Some(2),
            "argument 3 has length 1, but argument 2 has length 2",
        ),
        (
            r#"formatlist("%s %s", [], ["a"])"#,
            Some(2),
            "argument 3 has length 1, but argument 2 has length 0",
        ),
        (r#"formatlist("%d", ["a"])"#, Some(1), "%d needs a whole number"),
    ]);
}
