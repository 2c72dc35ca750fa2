//! Variables: types, ways to give values, validations.

use crate::world::Spec;

const SPEC: &str = r#"
variable "url" {
  type = string
  validation {
    condition     = var.url != "bad"
    error_message = "${var.url} is not good"
  }
}
variable "ports" {
  type    = list(number)
  default = ["1", 2]
}
variable "opts" {
  type    = object({ a = string, b = optional(number, 3) })
  default = { a = 1 }
}
variable "token" {
  type      = string
  sensitive = true
  default   = "t0ken"
}
output "all" {
  value = [var.url, var.ports, var.opts]
}
"#;

fn all(spec: &Spec) -> String {
    match spec.load().desired {
        Some(desired) => desired.outputs["all"].to_string(),
        None => spec.problems(),
    }
}

#[test]
fn later_ways_win_and_text_becomes_the_type() {
    assert_eq!(
        all(&Spec::new(SPEC).var("url", "5")),
        r#"["5",[1,2],{"a":"1","b":3}]"#
    );
    assert_eq!(
        all(&Spec::new(SPEC).env("SEGUE_VAR_url", "e")),
        r#"["e",[1,2],{"a":"1","b":3}]"#
    );
    let mut spec = Spec::new(SPEC).env("SEGUE_VAR_url", "e");
    let file = spec.file("vars.hcl", "url = \"f\"\nports = []\n");
    spec.input.var_files.push(file);
    assert_eq!(all(&spec), r#"["f",[],{"a":"1","b":3}]"#);
    let spec = spec
        .var("url", "v")
        .var("ports", "[7]")
        .var("opts", "{ a = \"x\", b = 1, z = 2 }");
    assert_eq!(all(&spec), r#"["v",[7],{"a":"x","b":1}]"#);
}

#[test]
fn what_is_wrong_with_variables_is_told() {
    let mut spec = Spec::new(SPEC)
        .env("SEGUE_VAR_urll", "e")
        .var("prots", "1")
        .var("ports", "[\"x\"]")
        .var("opts", "{");
    let file = spec.file("vars.hcl", "tokne = \"f\"\nurl = var.ports\n b {\n}\n");
    spec.input.var_files.push(file);
    insta::assert_snapshot!(spec.problems(), @"");
    insta::assert_snapshot!(Spec::new(SPEC).problems(), @"");
    insta::assert_snapshot!(Spec::new(SPEC).var("url", "bad").problems(), @"");
}

#[test]
fn declarations_are_checked() {
    let spec = Spec::new(
        r#"
variable "a" {
  type = strng
}
variable "b" {
  type    = list(number)
  default = ["x"]
}
variable "c" {
  default = var.a
}
variable "c" {
  tpye = string
}
variable "d" {
  type      = list
  sensitive = "yes"
}
locals {
  uses = [var.a, var.b, var.c, var.d]
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @"");
}
