//! Lines for a shell that do without Segue what Segue does, with names where secrets stand.

use segue_contract::{BlockRef, Setting};
use serde_json::Value;

use super::cluster;
use crate::command::quoted;
use crate::http;

/// A request as `curl` sends it to a block's first node.
pub(crate) fn curl(block: &BlockRef, method: &str, path: &str, body: Option<&Value>) -> String {
    let (node, headers) = match (cluster::nodes(block), http::headers(block)) {
        (Ok(nodes), Ok(headers)) => (nodes.into_iter().next().unwrap_or_default(), headers),
        (Err(error), _) | (_, Err(error)) => return format!("# {error}"),
    };
    let mut argv = vec!["curl".to_owned(), "--fail-with-body".to_owned(), "-X".to_owned(), method.to_owned()];
    let mut push = |flag: &str, value: String| argv.extend([flag.to_owned(), value]);
    for (name, value) in headers {
        push("-H", format!("{name}: {value}"));
    }
    let text = |name: &str| block.config.plain(name).and_then(Value::as_str);
    let is_secret = |name: &str| block.config.get(name).is_some_and(|s| matches!(s, Setting::Secret(_)));
    // curl asks for the password.
    if let Some(username) = text("username") {
        push("-u", username.to_owned());
    }
    for (name, header) in
        [("bearer_token", "Authorization: Bearer TOKEN"), ("api_key", "Authorization: ApiKey KEY")]
    {
        if is_secret(name) {
            push("-H", header.to_owned());
        }
    }
    if let Some(name) = text("secret_header") {
        push("-H", format!("{name}: SECRET"));
    }
    for (name, flag) in [("ca_file", "--cacert"), ("client_cert", "--cert"), ("client_key", "--key")] {
        if let Some(path) = text(name) {
            push(flag, path.to_owned());
        }
    }
    if let Some(body) = body {
        push("-H", "content-type: application/json".to_owned());
        push("--data-binary", body.to_string());
    }
    argv.push(format!("{node}{path}"));
    quoted(&argv)
}
