//! Problems for machines: a line each, JSON, SARIF, GitHub's workflow commands.

use segue_language::{Diagnostic, Severity, Source};
use serde_json::{Value, json};

use super::place;
use crate::invocation::VERSION;

/// Where a problem is: its file, start and end, lines and columns from 1.
struct Place<'a> {
    file: &'a str,
    start: (usize, usize),
    end: (usize, usize),
}

fn place_of<'a>(problem: &Diagnostic, sources: &'a [Source]) -> Option<Place<'a>> {
    let span = &problem.labels.first()?.span;
    let source = sources.get(span.file)?;
    Some(Place {
        file: &source.name,
        start: place(source, span.range.start),
        end: place(source, span.range.end),
    })
}

/// The word for a severity.
pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// What is wrong and what to do, in one line.
fn sentence(problem: &Diagnostic) -> String {
    let label = problem.labels.first().map(|l| l.text.as_str()).filter(|t| !t.is_empty());
    let mut text = problem.summary.clone();
    if let Some(label) = label {
        text.push_str(&format!(": {label}"));
    }
    if let Some(help) = &problem.help {
        text.push_str(&format!(" ({help})"));
    }
    text
}

/// `file:line:column: error[CODE]: what`, a line each.
pub(super) fn text(problems: &[Diagnostic], sources: &[Source]) -> String {
    let mut out = String::new();
    for problem in problems {
        if let Some(Place { file, start: (line, column), .. }) = place_of(problem, sources) {
            out.push_str(&format!("{file}:{line}:{column}: "));
        }
        out.push_str(&format!(
            "{}[{}]: {}\n",
            word(problem.severity),
            problem.code,
            sentence(problem).replace('\n', " ")
        ));
    }
    out
}

/// All of them, with every label.
pub(super) fn json(problems: &[Diagnostic], sources: &[Source]) -> Value {
    let one = |problem: &Diagnostic| {
        let Diagnostic { severity, code, summary, help, labels, about: _ } = problem;
        let labels: Vec<Value> = labels
            .iter()
            .filter_map(|label| {
                let source = sources.get(label.span.file)?;
                let (start, end) =
                    (place(source, label.span.range.start), place(source, label.span.range.end));
                Some(json!({
                    "file": source.name,
                    "start": { "line": start.0, "column": start.1, "byte": label.span.range.start },
                    "end": { "line": end.0, "column": end.1, "byte": label.span.range.end },
                    "text": label.text,
                }))
            })
            .collect();
        json!({ "severity": word(*severity), "code": code, "summary": summary, "help": help, "labels": labels })
    };
    let valid = problems.iter().all(|d| d.severity != Severity::Error);
    json!({ "valid": valid, "diagnostics": problems.iter().map(one).collect::<Vec<_>>() })
}

/// SARIF 2.1.0 (OASIS), as GitHub's code scanning reads it.
pub(super) fn sarif(problems: &[Diagnostic], sources: &[Source]) -> Value {
    let one = |problem: &Diagnostic| {
        let mut result = json!({
            "ruleId": problem.code,
            "level": word(problem.severity),
            "message": { "text": sentence(problem) },
        });
        if let Some(Place { file, start, end }) = place_of(problem, sources) {
            result["locations"] = json!([{
                "physicalLocation": {
                    "artifactLocation": { "uri": file.trim_start_matches("./") },
                    "region": {
                        "startLine": start.0,
                        "startColumn": start.1,
                        "endLine": end.0,
                        "endColumn": end.1,
                    },
                },
            }]);
        }
        result
    };
    let mut codes: Vec<&str> = problems.iter().map(|d| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "segue", "version": VERSION, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": problems.iter().map(one).collect::<Vec<_>>(),
        }],
    })
}

/// GitHub's workflow commands; `%`, line ends and in properties `:` and `,` are escaped as its toolkit does.
pub(super) fn github(problems: &[Diagnostic], sources: &[Source]) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for problem in problems {
        out.push_str(&format!("::{} ", word(problem.severity)));
        if let Some(Place { file, start, end }) = place_of(problem, sources) {
            let file = property(file.trim_start_matches("./"));
            out.push_str(&format!("file={file},line={},endLine={},col={},", start.0, end.0, start.1));
        }
        out.push_str(&format!("title={}::{}\n", property(problem.code), escape(&sentence(problem))));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use insta::assert_snapshot;
    use segue_language::{Diagnostic, Source, Span};

    use super::{github, json, sarif, text};

    fn sample() -> (Vec<Diagnostic>, Vec<Source>) {
        let source = Source {
            name: "./main.segue.hcl".to_owned(),
            path: PathBuf::from("main.segue.hcl"),
            text: "source \"directory\" \"öld\" {\n  pth = \"old\"\n}\n".to_owned(),
        };
        let problems = vec![
            Diagnostic::error("SPEC_UNKNOWN_ARGUMENT", "there is no argument `pth` here")
                .at(Span { file: 0, range: 30..33 }, "")
                .help("did you mean `path`?"),
            Diagnostic::warning("SPEC_UNUSED", "100 % of var.x\nis unused"),
        ];
        (problems, vec![source])
    }

    #[test]
    fn a_line_each_names_file_line_and_column() {
        let (problems, sources) = sample();
        assert_snapshot!(text(&problems, &sources), @r"
        ./main.segue.hcl:2:3: error[SPEC_UNKNOWN_ARGUMENT]: there is no argument `pth` here (did you mean `path`?)
        warning[SPEC_UNUSED]: 100 % of var.x is unused
        ");
    }

    #[test]
    fn annotations_of_github_are_escaped() {
        let (problems, sources) = sample();
        assert_snapshot!(github(&problems, &sources), @r"
        ::error file=main.segue.hcl,line=2,endLine=2,col=3,title=SPEC_UNKNOWN_ARGUMENT::there is no argument `pth` here (did you mean `path`?)
        ::warning title=SPEC_UNUSED::100 %25 of var.x%0Ais unused
        ");
    }

    #[test]
    fn json_and_sarif_have_the_same_places() {
        let (problems, sources) = sample();
        let json = json(&problems, &sources);
        assert_eq!(json["valid"], false);
        assert_eq!(json["diagnostics"][0]["labels"][0]["start"]["line"], 2);
        assert_eq!(json["diagnostics"][0]["labels"][0]["start"]["column"], 3);
        let sarif = sarif(&problems, &sources);
        let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startLine"], &region["endColumn"]), (&2.into(), &6.into()));
        assert_eq!(sarif["runs"][0]["results"][1]["level"], "warning");
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(2));
    }
}
