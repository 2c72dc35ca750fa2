//! The attributes that every block with HTTP has, what can be wrong with them, and the client that they make.

use std::path::Path;
use std::time::Duration;

use segue_contract::{
    AttributeSchema, AttributeType, BlockRef, Finding, Setting, Severity, StepError, StepIo, paths,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, parse_pem};

use super::sigv4::Signer;
use super::{Client, Login, Settings};
use segue_contract::Secret;

/// How long a request may take when the spec says nothing, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 10_000;
/// More redirects than this are a loop.
const REDIRECTS_MAX: u64 = 20;

/// What says that there is a login, one attribute each.
const LOGINS: [&str; 5] = ["username", "bearer_token", "api_key", "secret_header", "aws_access_key_id"];

/// Headers, login, TLS, time-out.
pub(crate) fn attributes() -> Vec<AttributeSchema> {
    let text = |name, doc| AttributeSchema::optional(name, AttributeType::String, doc);
    let path = |name, doc| AttributeSchema::optional(name, AttributeType::Path, doc);
    vec![
        AttributeSchema::optional(
            "headers",
            AttributeType::Words,
            "More headers, each `\"Name: value\"`. No secrets: they are stored and shown.",
        ),
        text("username", "The user's name for basic authentication, with `password`."),
        text("password", "The password for basic authentication.").secret(),
        text("bearer_token", "A token sent as `Authorization: Bearer`.").secret(),
        text(
            "secret_header",
            "The name of a header whose value is secret, `X-Api-Key`, with `secret_value`.",
        ),
        text("secret_value", "The value of `secret_header`.").secret(),
        text("api_key", "An API key of Elasticsearch as it is given encoded, sent as `Authorization: ApiKey`.")
            .secret(),
        text(
            "aws_access_key_id",
            "Requests are signed (AWS Signature Version 4) with this key, with `aws_secret_access_key` and `aws_region`.",
        ),
        text("aws_secret_access_key", "The secret of `aws_access_key_id`.").secret(),
        text("aws_session_token", "The token that comes with the keys of a role.").secret(),
        text("aws_region", "The region that a signature is for, `eu-central-1`."),
        text(
            "aws_service",
            "The service that a signature is for: OpenSearch Service (`es`) or OpenSearch Serverless (`aoss`). Default `es`.",
        )
        .allowed(&["es", "aoss"]),
        path("ca_file", "Certificates (PEM) to trust instead of Mozilla's list."),
        path("client_cert", "The client's certificate with its chain (PEM), with `client_key`."),
        path("client_key", "The key of `client_cert` (PEM)."),
        AttributeSchema::optional(
            "redirects",
            AttributeType::Number,
            "How many redirects are followed. Default 0: a redirect is the answer.",
        )
        .default(json!(0)),
        AttributeSchema::optional(
            "timeout",
            AttributeType::Duration,
            "How long one request may take as a whole. Default 10s.",
        )
        .default(json!(TIMEOUT_DEFAULT_MS)),
    ]
}

fn critical(code: &str, summary: String, remedy: &str) -> Finding {
    Finding { severity: Severity::Critical, code: code.to_owned(), summary, remedy: remedy.to_owned() }
}

/// What is wrong with an address, under a code of the caller's.
pub(crate) fn check_url(code: &str, name: &str, url: &str) -> Option<Finding> {
    let wrong = |why: &str, remedy: &str| Some(critical(code, format!("{name} {why}"), remedy));
    let Ok(uri) = url.parse::<Uri>() else {
        return wrong("is no address", "write it whole, \"https://host:port/path\"");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return wrong("is no http or https address", "write it whole, \"https://host:port/path\"");
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return wrong(
            "holds a user's name or a password, and addresses are stored and shown",
            "use username and password = env(\"NAME\")",
        );
    }
    None
}

/// What is wrong with the attributes of [`attributes`], under a code of the caller's.
pub(crate) fn check(code: &str, block: &BlockRef) -> Vec<Finding> {
    let mut findings = Vec::new();
    let has =
        |name: &str| !matches!(block.config.get(name), None | Some(Setting::Plain(serde_json::Value::Null)));
    let pairs = [
        ("username", "password"),
        ("secret_header", "secret_value"),
        ("client_cert", "client_key"),
        ("aws_access_key_id", "aws_secret_access_key"),
        ("aws_access_key_id", "aws_region"),
    ];
    for (one, other) in pairs {
        if has(one) != has(other) {
            findings.push(critical(
                code,
                format!("only one of {one} and {other} is there"),
                "write both or none",
            ));
        }
    }
    if LOGINS.into_iter().filter(|n| has(n)).count() > 1 {
        let logins = LOGINS.join(", ");
        let remedy = format!("write one of {logins}");
        findings.push(critical(code, "there is more than one login".to_owned(), &remedy));
    }
    if has("aws_access_key_id") && block.number("redirects").ok().flatten().is_some_and(|n| n > 0) {
        findings.push(critical(
            code,
            "a signature holds for one address, and does not follow a redirect".to_owned(),
            "leave redirects out",
        ));
    }
    if let Err(error) = headers(block) {
        findings.push(critical(code, error.to_string(), "write each as \"Name: value\""));
    }
    let files = tls_roots(block).map(drop).and_then(|()| certificate(block).map(drop));
    if let Err(error) = files {
        findings.push(critical(code, error.to_string(), "name a readable file with PEM blocks"));
    }
    findings
}

/// The headers of a block.
pub(crate) fn headers(block: &BlockRef) -> Result<Vec<(String, String)>, StepError> {
    let lines = block.words("headers")?.unwrap_or_default();
    lines
        .iter()
        .map(|line| match line.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(StepError::permanent(format!("{}: {line:?} is no header", block.address))
                .remedy("write each as \"Name: value\"")),
        })
        .collect()
}

/// The client of a block, and the headers that its requests carry.
///
/// # Errors
/// A secret or a file that is missing.
pub(crate) fn client(
    block: &BlockRef,
    io: &dyn StepIo,
) -> Result<(Client, Vec<(String, String)>), StepError> {
    let timeout = Duration::from_millis(block.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT_MS));
    let mut settings = Settings::new(timeout);
    let redirects = block.number("redirects")?.unwrap_or(0).min(REDIRECTS_MAX);
    settings.redirects = u32::try_from(redirects).unwrap_or(0);
    settings.login = login(block, io)?;
    settings.roots = tls_roots(block)?;
    settings.certificate = certificate(block)?;
    Ok((Client::new(settings), headers(block)?))
}

/// What a block's client is made of, as a hash: blocks with the same one connect in the same way, as the same user. Files
/// count by what is in them, so that a certificate that was renewed is another one.
///
/// # Errors
/// A secret or a file that is missing.
pub(crate) fn identity(block: &BlockRef, io: &dyn StepIo) -> Result<[u8; 32], StepError> {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    for attribute in attributes() {
        let name = attribute.name.as_str();
        let value = match block.config.get(name) {
            None | Some(Setting::Plain(serde_json::Value::Null)) => continue,
            Some(Setting::Secret(reference)) => io.secret(reference)?.reveal().as_bytes().to_vec(),
            Some(Setting::Plain(_)) if attribute.ty == AttributeType::Path => paths::read(block.path(name)?)?,
            Some(Setting::Plain(value)) => value.to_string().into_bytes(),
        };
        part(name.as_bytes());
        part(&value);
    }
    Ok(digest.finalize().into())
}

fn secret(block: &BlockRef, name: &str, io: &dyn StepIo) -> Result<Option<Secret>, StepError> {
    match block.config.get(name) {
        Some(Setting::Secret(reference)) => io.secret(reference).map(Some),
        _ => Ok(None),
    }
}

fn login(block: &BlockRef, io: &dyn StepIo) -> Result<Login, StepError> {
    if let Some(token) = secret(block, "bearer_token", io)? {
        return Ok(Login::Bearer(token));
    }
    if let Some(value) = secret(block, "secret_value", io)? {
        return Ok(Login::Header { name: block.text("secret_header")?.to_owned(), value });
    }
    if let Some(key) = secret(block, "api_key", io)? {
        return Ok(Login::ApiKey(key));
    }
    if let Some(secret_access_key) = secret(block, "aws_secret_access_key", io)? {
        let service = block.config.plain("aws_service").and_then(|s| s.as_str()).unwrap_or("es");
        return Ok(Login::Aws(Signer {
            access_key_id: block.text("aws_access_key_id")?.to_owned(),
            secret_access_key,
            session_token: secret(block, "aws_session_token", io)?,
            region: block.text("aws_region")?.to_owned(),
            service: service.to_owned(),
        }));
    }
    match secret(block, "password", io)? {
        Some(password) => Ok(Login::Basic { username: block.text("username")?.to_owned(), password }),
        None => Ok(Login::None),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, StepError> {
    let text = paths::read(path)?;
    let found = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(e) => Some(Err(e)),
    });
    let found: Result<Vec<_>, ureq::Error> = found.collect();
    let found = found
        .map_err(|e| StepError::permanent(format!("{} cannot be read as PEM", path.display())).because(e))?;
    if found.is_empty() {
        return Err(StepError::permanent(format!("{} holds no certificate", path.display())));
    }
    Ok(found)
}

fn optional_path<'a>(block: &'a BlockRef, name: &str) -> Result<Option<&'a Path>, StepError> {
    match block.config.plain(name) {
        None => Ok(None),
        Some(_) => Ok(Some(block.path(name)?)),
    }
}

fn tls_roots(block: &BlockRef) -> Result<Option<RootCerts>, StepError> {
    match optional_path(block, "ca_file")? {
        None => Ok(None),
        Some(path) => Ok(Some(RootCerts::new_with_certs(&certificates(path)?))),
    }
}

fn certificate(block: &BlockRef) -> Result<Option<ClientCert>, StepError> {
    let (Some(chain), Some(key)) =
        (optional_path(block, "client_cert")?, optional_path(block, "client_key")?)
    else {
        return Ok(None);
    };
    let private = PrivateKey::from_pem(&paths::read(key)?)
        .map_err(|e| StepError::permanent(format!("{} holds no key", key.display())).because(e))?;
    Ok(Some(ClientCert::new_with_certs(&certificates(chain)?, private)))
}
