//! Before a reindex runs: how the target reaches the source, and what keeps it from doing so. Changes nothing.

use segue_contract::{Finding, Setting, Severity, StepError, UnitJob};
use serde_json::Value;

use super::super::{critical, is_one, nodes_with, words};
use super::FROM;
use crate::search::about::Product;
use crate::search::cluster::{Cluster, nodes};
use crate::search::names;

/// The source's address as the target is told it: with a port, which servers demand.
pub(super) fn host(job: &UnitJob) -> Result<String, StepError> {
    let given = job.load.mode.config.plain(FROM).and_then(Value::as_str).map(str::to_owned);
    let url = match given {
        Some(given) => given,
        None => nodes(&job.source)?.into_iter().next().unwrap_or_default(),
    };
    Ok(with_port(url.trim_end_matches('/')))
}

fn with_port(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = authority.rsplit(']').next().unwrap_or_default().contains(':');
    let port = if scheme == "https" { 443 } else { 80 };
    if has_port { url.to_owned() } else { format!("{scheme}://{authority}:{port}{path}") }
}

/// `host:port`, as the servers' lists have it.
fn listed(host: &str) -> &str {
    let rest = host.split_once("://").map_or(host, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// Before anything runs: versions, logins that a server can be told, and whether it may.
pub(in crate::search::fill) fn check(
    job: &UnitJob,
    from: &Cluster,
    to: &Cluster,
) -> Result<Vec<Finding>, StepError> {
    if is_one(from, to)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let (source, target) = (from.about()?, to.about()?);
    if target.product == Product::Elasticsearch
        && source.product == Product::OpenSearch
        && target.version.0 < 8
    {
        found.push(critical(
            "REINDEX_VERSION",
            format!(
                "{target} cannot reindex from {source}: it wants types in the answers, and there are none"
            ),
            "load in mode \"copy\"",
        ));
    }
    let has = |name: &str| job.source.config.get(name).is_some_and(|s| *s != Setting::Plain(Value::Null));
    for (name, what) in [("aws_access_key_id", "signs requests"), ("client_cert", "shows a certificate")] {
        if has(name) {
            found.push(critical(
                "REINDEX_LOGIN",
                format!("{} {what}, and {target} cannot be told to do that in a reindex", job.source.address),
                "give the source another login, or load in mode \"copy\"",
            ));
        }
    }
    let host = host(job)?;
    if host.starts_with("https:") && has("ca_file") {
        found.push(Finding {
            severity: Severity::Warning,
            code: "REINDEX_TLS".to_owned(),
            summary: format!(
                "{}: the target has to trust the source's certificate by itself",
                job.source.address
            ),
            remedy: "set reindex.ssl.certificate_authorities in the target's nodes".to_owned(),
        });
    }
    found.extend(may(to, &host)?);
    Ok(found)
}

/// Whether every node of the target may read from there.
fn may(to: &Cluster, host: &str) -> Result<Vec<Finding>, StepError> {
    let lists = ["reindex.remote.allowlist", "reindex.remote.whitelist"];
    let mut refusing = Vec::new();
    for node in nodes_with(to, "reindex*")?.unwrap_or_default() {
        let allowed: Vec<String> = lists.iter().flat_map(|name| words(&node.settings[*name])).collect();
        if !allowed.iter().any(|pattern| names::matches(pattern, listed(host))) {
            refusing.push(node.name);
        }
    }
    if refusing.is_empty() {
        return Ok(Vec::new());
    }
    let about = to.about()?;
    let name =
        if about.product == Product::OpenSearch && about.version.0 >= 2 { "allowlist" } else { "whitelist" };
    let file = if about.product == Product::OpenSearch { "opensearch.yml" } else { "elasticsearch.yml" };
    Ok(vec![critical(
        "REINDEX_WHITELIST",
        format!("{}: node {} may not reindex from {}", to.address, refusing.join(", "), listed(host)),
        &format!(
            "write `reindex.remote.{name}: [\"{}\"]` into {file} of every node of the target and restart them one by one; or load in mode \"copy\"",
            listed(host)
        ),
    )])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_told_a_port_and_a_list_is_matched_by_host_and_port() {
        assert_eq!(with_port("http://h"), "http://h:80");
        assert_eq!(with_port("https://h/es"), "https://h:443/es");
        assert_eq!(with_port("https://h:9200/es"), "https://h:9200/es");
        assert_eq!(with_port("http://[::1]"), "http://[::1]:80");
        assert_eq!(listed("https://h:9200/es"), "h:9200");
        assert!(names::matches("127.0.0.1:*", listed("http://127.0.0.1:9200")));
        assert_eq!(words(&json!("a:1, b:*")), ["a:1", "b:*"]);
        assert_eq!(words(&json!(["a:1"])), ["a:1"]);
        assert!(words(&Value::Null).is_empty());
    }
}
