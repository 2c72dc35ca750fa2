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
    assert_eq!(all(&Spec::new(SPEC).var("url", "5")), r#"["5",[1,2],{"a":"1","b":3}]"#);
    assert_eq!(all(&Spec::new(SPEC).env("SEGUE_VAR_url", "e")), r#"["e",[1,2],{"a":"1","b":3}]"#);
    let mut spec = Spec::new(SPEC).env("SEGUE_VAR_url", "e");
    let file = spec.file("vars.hcl", "url = \"f\"\nports = []\n");
    spec.input.var_files.push(file);
    assert_eq!(all(&spec), r#"["f",[],{"a":"1","b":3}]"#);
    let spec = spec.var("url", "v").var("ports", "[7]").var("opts", "{ a = \"x\", b = 1, z = 2 }");
    assert_eq!(all(&spec), r#"["v",[7],{"a":"x","b":1}]"#);
}

#[test]
fn what_is_wrong_with_variables_is_told() {
    let mut spec =
        Spec::new(SPEC).env("SEGUE_VAR_urll", "e").var("prots", "1").var("ports", "[\"x\"]").var("opts", "{");
    let file = spec.file("vars.hcl", "tokne = \"f\"\nurl = var.ports\n b {\n}\n");
    spec.input.var_files.push(file);
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_WRONG_TYPE: --var ports does not fit variable `ports` of type list(number): at [0]: wanted number, found a string that is not a number
      main.segue.hcl:9 `variable "ports"`
    error SPEC_WRONG_TYPE: --var opts does not fit variable `opts` of type object: it is not written as HCL
      main.segue.hcl:13 `variable "opts"`
    error SPEC_UNDECLARED_VARIABLE: vars.hcl gives a value to variable `tokne`, which the spec does not declare
      vars.hcl:1 `tokne`
      help: did you mean `token`?
    error SPEC_UNKNOWN_REFERENCE: `var` cannot be used here: the value of a variable refers to nothing else
      vars.hcl:2 `var`
      help: write the value itself, or compute it in `locals`
    error SPEC_UNKNOWN_BLOCK: a file of variables has no blocks
      vars.hcl:3 `b`
      help: write name = value
    error SPEC_UNDECLARED_VARIABLE: SEGUE_VAR_urll gives a value to variable `urll`, which the spec does not declare
      help: did you mean `url`?
    error SPEC_UNDECLARED_VARIABLE: --var prots gives a value to variable `prots`, which the spec does not declare
      help: did you mean `ports`?
    "#);
    insta::assert_snapshot!(Spec::new(SPEC).problems(), @r#"
    error SPEC_MISSING_VARIABLE: variable `url` has no value
      main.segue.hcl:2 `variable "url"` declared without a default
      help: give it with --var url=VALUE, in a file with --var-file FILE, or in the environment as SEGUE_VAR_url
    "#);
    insta::assert_snapshot!(Spec::new(SPEC).var("url", "bad").problems(), @r#"
    error SPEC_INVALID_VARIABLE: variable `url`: bad is not good
      main.segue.hcl:2 `variable "url"`
      main.segue.hcl:5 `var.url != "bad"` this condition is not met
    "#);
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
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_BAD_TYPE: there is no type `strng`
      main.segue.hcl:3 `strng`
      help: did you mean `string`?
    error SPEC_WRONG_TYPE: the default does not fit the type: at [0]: wanted number, found a string that is not a number
      main.segue.hcl:7 `["x"]`
    error SPEC_UNKNOWN_REFERENCE: `var` cannot be used here: the value of a variable refers to nothing else
      main.segue.hcl:10 `var`
      help: write the value itself, or compute it in `locals`
    error SPEC_DUPLICATE: variable.c is declared twice
      main.segue.hcl:12 `variable "c"` again here
      main.segue.hcl:9 `variable "c"` first here
      help: rename one of them
    error SPEC_BAD_TYPE: `list` needs the type of its elements: list(string)
      main.segue.hcl:16 `list`
      help: types are string, number, bool, any, list(T), set(T), map(T), object({ name = T })
    error SPEC_WRONG_TYPE: `sensitive` is true or false, not a string
      main.segue.hcl:17 `"yes"`
      help: write it without quotes
    "#);
}
