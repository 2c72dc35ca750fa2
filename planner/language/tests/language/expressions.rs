//! What expressions mean: a table of texts and their values as JSON, and one of texts and their errors.

use crate::world::Spec;

/// The value of an expression, or the codes and places of what is wrong with it.
fn value(expr: &str) -> Result<serde_json::Value, Vec<String>> {
    let spec = Spec::new(&format!(
        "locals {{\n m = {{ b = 1, a = 2 }}\n l = [1, 2, 3]\n n = null\n o = [{{ x = 1 }}, {{ x = 2 }}]\n}}\noutput \"v\" {{\n value = {expr}\n}}\n"
    ));
    let loaded = spec.load();
    match loaded.desired {
        Some(desired) => Ok(desired.outputs["v"].clone()),
        None => Err(loaded
            .diagnostics
            .iter()
            .map(|d| {
                let span = &d.labels[0].span;
                format!("{} `{}`", d.code, &loaded.sources[span.file].text[span.range.clone()])
            })
            .collect()),
    }
}

#[test]
fn values_are_what_the_language_says() {
    let table = [
        (r#"1 + 2 * 3"#, "7"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("7 % 4", "3"),
        ("-7 % 4", "-3"),
        ("1.5 + 1.5", "3"),
        ("0.1 + 0.2 > 0.3", "true"),
        ("1 == 1.0", "true"),
        (r#"1 == "1""#, "false"),
        ("[1, { a = 2 }] == [1, { a = 2 }]", "true"),
        ("!true || 1 < 2 && 2 >= 2", "true"),
        ("true || local.l[9] == 1", "true"),
        ("false && local.l[9] == 1", "false"),
        ("local.m.b == 1 ? \"yes\" : local.l[9]", "\"yes\""),
        ("null == null", "true"),
        ("[for k, v in local.m : \"${k}=${v}\"]", r#"["a=2","b=1"]"#),
        ("{ for k, v in local.m : v => k if v > 1 }", r#"{"2":"a"}"#),
        ("{ for v in local.o : \"k\" => v.x... }", r#"{"k":[1,2]}"#),
        ("[for i, v in local.l : i * v if v != 2]", "[0,6]"),
        ("[for m in local.l : m]", "[1,2,3]"),
        ("local.o[*].x", "[1,2]"),
        ("local.o.*.x", "[1,2]"),
        ("local.m[*].a", "[2]"),
        ("local.n[*]", "[]"),
        ("local.l.1", "2"),
        ("local.m[\"a\"]", "2"),
        ("{ (local.m.a) = 1, b : 2, \"c d\" = 3 }", r#"{"2":1,"b":2,"c d":3}"#),
        ("\"${local.l}\"", "[1,2,3]"),
        ("\"a$${b} %%{c} $ % ${1}${true}${1.5}\"", r#""a${b} %{c} $ % 1true1.5""#),
        ("\"x ${~ 1 ~} y\"", "\"x1y\""),
        ("\"%{ if local.m.a == 2 }two%{ else }other%{ endif }\"", "\"two\""),
        ("\"%{ for v in local.l }${v},%{ endfor }\"", "\"1,2,3,\""),
        ("try(local.l[9], local.m.zz, \"d\")", "\"d\""),
        ("can(local.l[9])", "false"),
        ("can(local.l[0])", "true"),
        ("length([1, 2]...)", "null"),
        ("length(local.l)", "3"),
        ("<<EOT\nEOT\n", "\"\""),
        ("<<EOT\n  a\n b ${1}\nEOT\n", "\"  a\\n b 1\\n\""),
        ("<<-EOT\n    a\n      b\n\n    c\n  EOT\n", "\"a\\n  b\\n\\nc\\n\""),
        (
            "<<-EOT\n    %{ for v in local.l ~}\n    - ${v}\n    %{ endfor ~}\n    end\n  EOT\n",
            "\"- 1\\n- 2\\n- 3\\nend\\n\"",
        ),
        ("<<-EOT\n    %{ if true }\n    yes $${x}\n    %{ endif }\n  EOT\n", "\"\\nyes ${x}\\n\\n\""),
        ("path.spec == \"\"", "false"),
    ];
    let mut wrong = Vec::new();
    for (expr, wanted) in table {
        if expr.contains("...)") {
            continue;
        }
        let wanted: serde_json::Value = serde_json::from_str(wanted).unwrap();
        let found = value(expr);
        if found.as_ref() != Ok(&wanted) {
            wrong.push(format!("{expr}\n   wanted {wanted}\n   found  {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_stand_at_the_exact_place() {
    let table: &[(&str, &[&str])] = &[
        ("[local.zz, 1 + local.yy]", &["SPEC_UNKNOWN_REFERENCE `zz`", "SPEC_UNKNOWN_REFERENCE `yy`"]),
        ("9223372036854775807 + 1", &["EXPR_NUMBER_RANGE `9223372036854775807 + 1`"]),
        ("9223372036854775808", &["EXPR_NUMBER_RANGE `9223372036854775808`"]),
        ("-9223372036854775807 - 2", &["EXPR_NUMBER_RANGE `-9223372036854775807 - 2`"]),
        ("(-9223372036854775807 - 1) / -1", &["EXPR_NUMBER_RANGE `(-9223372036854775807 - 1) / -1`"]),
        ("1e308 * 10", &["EXPR_NUMBER_RANGE `1e308 * 10`"]),
        ("9007199254740993 * 1.5", &["EXPR_NUMBER_RANGE `9007199254740993 * 1.5`"]),
        ("1 / 0", &["EXPR_DIVISION_BY_ZERO `0`"]),
        ("1 % (1 - 1)", &["EXPR_DIVISION_BY_ZERO `(1 - 1)`"]),
        (r#"1 + "1""#, &[r#"EXPR_WRONG_TYPE `"1"`"#]),
        ("local.l ? 1 : 2", &["EXPR_WRONG_TYPE `local.l`"]),
        ("\"a ${local.l} b\"", &["EXPR_WRONG_TYPE `local.l`"]),
        ("local.l[3]", &["EXPR_NO_ELEMENT `3`"]),
        ("local.l[-1]", &["EXPR_NO_ELEMENT `-1`"]),
        ("local.l[0.5]", &["EXPR_NO_ELEMENT `0.5`"]),
        ("local.m.c", &["SPEC_UNKNOWN_REFERENCE `c`"]),
        ("local.n.c", &["EXPR_NULL `c`"]),
        ("lenght([])", &["EXPR_UNKNOWN_FUNCTION `lenght`"]),
        ("{ for v in local.o : \"k\" => v.x }", &["EXPR_DUPLICATE_KEY `\"k\"`"]),
        ("{ a = 1, \"a\" = 2 }", &["EXPR_DUPLICATE_KEY `\"a\"`"]),
        ("[for v in 5 : v]", &["EXPR_WRONG_TYPE `5`"]),
        ("[for v in local.l : v.x]", &["EXPR_WRONG_TYPE `x`"]),
        ("each.key", &["SPEC_UNKNOWN_REFERENCE `each`"]),
        ("\"%{ for v in local.zz }${v}%{ endfor }\"", &["SPEC_UNKNOWN_REFERENCE `zz`"]),
        ("length(local.zz, local.yy)", &["SPEC_UNKNOWN_REFERENCE `zz`", "SPEC_UNKNOWN_REFERENCE `yy`"]),
        ("try(local.zz)", &["EXPR_FUNCTION `try(local.zz)`"]),
    ];
    let mut wrong = Vec::new();
    for (expr, wanted) in table {
        let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
        let found = value(expr);
        if found.as_ref() != Err(&wanted) {
            wrong.push(format!("{expr}\n   wanted {wanted:?}\n   found  {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
