//! Which units a migration takes, and what they are called at the target: patterns with `*`, as the systems themselves
//! write them.

use segue_contract::{Finding, Select, Severity, Transform};

/// Whether a name matches a pattern in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.find(piece) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

/// Whether a unit is taken. One whose name begins with a dot is the system's own, and only taken by its name.
pub(crate) fn selects(select: &Select, name: &str) -> bool {
    let hidden = name.starts_with('.');
    let included = match select.include.as_slice() {
        [] => !hidden,
        patterns => patterns
            .iter()
            .any(|pattern| if hidden && !pattern.starts_with('.') { false } else { matches(pattern, name) }),
    };
    included && !select.exclude.iter().any(|pattern| matches(pattern, name))
}

/// What a unit is called at the target. A name is looked for before the patterns, the longest of them first.
pub(crate) fn at_target(select: &Select, name: &str) -> String {
    if let Some(to) = select.rename.get(name) {
        return to.clone();
    }
    let mut patterns: Vec<(&String, &String)> =
        select.rename.iter().filter(|(from, _)| from.contains('*')).collect();
    patterns.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    for (from, to) in patterns {
        let Some((before, after)) = from.split_once('*') else { continue };
        let middle = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        if let Some(middle) = middle {
            return to.replacen('*', middle, 1);
        }
    }
    name.to_owned()
}

/// What is wrong with a selection and a transformation.
pub(crate) fn check(select: &Select, transform: &Transform) -> Vec<Finding> {
    let critical = |code: &str, summary: String, remedy: &str| Finding {
        severity: Severity::Critical,
        code: code.to_owned(),
        summary,
        remedy: remedy.to_owned(),
    };
    let mut findings = Vec::new();
    for (from, to) in &select.rename {
        let stars = |text: &str| text.matches('*').count();
        if stars(from) > 1 || stars(to) > 1 || stars(from) != stars(to) {
            let summary =
                format!("rename {from:?} to {to:?}: a pattern has one * on both sides, a name none");
            findings.push(critical("RENAME_PATTERN", summary, "write { \"logs-*\" = \"archive-*\" }"));
        }
    }
    for field in &transform.drop {
        if transform.rename.contains_key(field) {
            let summary = format!("field {field:?} is renamed and dropped");
            findings.push(critical("TRANSFORM_TWICE", summary, "take one of the two out"));
        }
    }
    for (field, values) in &transform.map {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = values.values().find(|to| !seen.insert(to.as_str())) {
            let summary = format!("map {field:?}: two values become {twice:?}, and no way leads back");
            let mut finding = critical(
                "TRANSFORM_ONE_WAY",
                summary,
                "map each to another value, or go without fallback { reverse }",
            );
            finding.severity = Severity::Warning;
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect();
        Select { include: words(include), exclude: words(exclude), rename: Default::default() }
    }

    #[test]
    fn patterns_take_names_and_dots_are_taken_by_name_only() {
        let some = select(&["products-*", "*-eu-*", ".own"], &["*-old"]);
        for (name, taken) in [
            ("products-1", true),
            ("products-", true),
            ("products", false),
            ("a-eu-b", true),
            ("products-old", false),
            (".own", true),
            (".kibana", false),
        ] {
            assert_eq!(selects(&some, name), taken, "{name}");
        }
        assert!(selects(&select(&[], &[]), "any") && !selects(&select(&[], &[]), ".any"));
        assert!(!selects(&select(&["*"], &[]), ".any"));
    }

    #[test]
    fn names_are_renamed_by_name_before_pattern() {
        let rename = [("a", "b"), ("logs-*", "archive-*"), ("logs-x-*", "x-*")];
        let mut some = select(&[], &[]);
        some.rename = rename.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
        for (name, to) in [("a", "b"), ("logs-1", "archive-1"), ("logs-x-1", "x-1"), ("other", "other")] {
            assert_eq!(at_target(&some, name), to);
        }
        assert_eq!(check(&some, &Transform::default()), []);
        some.rename.insert("c*".to_owned(), "d".to_owned());
        assert_eq!(check(&some, &Transform::default()).len(), 1);
    }
}
