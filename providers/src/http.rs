//! One thin blocking HTTP client for everything here that speaks HTTP: a request, a reply, and errors that
//! say what was asked where, without secrets, and whether the request can have had an effect.

mod error;
mod settings;
mod sigv4;
mod status;
#[cfg(test)]
pub(crate) mod stub;

pub(crate) use error::{HttpError, HttpErrorKind};
pub(crate) use settings::{attributes, check, check_url, client, headers, identity};
pub(crate) use status::{Statuses, statuses_default};

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use segue_contract::{Secret, StepError, waiting};
use ureq::http::{self, HeaderName, HeaderValue, Method, Uri};
use ureq::tls::{ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// How much of a reply is taken, in bytes: what probes and calls look at is small, and a reply must not
/// fill the memory.
pub(crate) const REPLY_BYTES_MAX: u64 = 16 << 20;

/// Connections to one host that stay open when nobody uses them: as many as are used at once.
const IDLE_MAX: usize = 16;

/// Who Segue says it is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Login {
    /// Nobody.
    #[default]
    None,
    /// HTTP basic authentication (RFC 7617).
    Basic { username: String, password: Secret },
    /// A bearer token (RFC 6750).
    Bearer(Secret),
    /// Elasticsearch's `Authorization: ApiKey`; the key as the server gives it encoded.
    ApiKey(Secret),
    /// A header of its own, `X-Api-Key`.
    Header { name: String, value: Secret },
    /// A signature over each request.
    Aws(sigv4::Signer),
}

/// How a client connects.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For a request as a whole: name resolution to the last byte of the reply.
    pub(crate) timeout: Duration,
    /// How many redirects are followed; login and body go along only to the same host.
    pub(crate) redirects: u32,
    /// Who Segue says it is.
    pub(crate) login: Login,
    /// Whom to trust; `None`: Mozilla's list.
    pub(crate) roots: Option<RootCerts>,
    /// The client's certificate and key.
    pub(crate) certificate: Option<ClientCert>,
    /// How much of a reply is taken, in bytes.
    pub(crate) reply_bytes_max: u64,
}

impl Settings {
    /// Nobody, Mozilla's list, no redirects.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            redirects: 0,
            login: Login::None,
            roots: None,
            certificate: None,
            reply_bytes_max: REPLY_BYTES_MAX,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET`, `POST`, `PROPFIND`.
    pub(crate) method: String,
    /// The whole address, `https://host:9200/_search?q=1`.
    pub(crate) url: String,
    /// More headers.
    pub(crate) headers: Vec<(String, String)>,
    /// What is sent, whatever the method; `None`: nothing. Shared: a request to the next node has the same one.
    pub(crate) body: Option<Arc<Vec<u8>>>,
}

impl Request {
    /// A request without headers and body.
    pub(crate) fn new(method: &str, url: &str) -> Self {
        Self { method: method.to_owned(), url: url.to_owned(), ..Self::default() }
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(Arc::new(body.into()));
        self
    }

    /// `GET https://host/path?…`: what errors and findings show.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// From the first look-up of the name to the body's last byte.
    pub(crate) took: Duration,
    /// How many seconds the server asks to wait before the next try (`Retry-After`), where it says a number.
    pub(crate) retry_after_s: Option<u64>,
    /// What was asked, as it is shown.
    asked: String,
}

impl Reply {
    /// The body as text; what is no UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value, StepError> {
        serde_json::from_slice(&self.body).map_err(|e| {
            let said = beginning(&self.text());
            StepError::permanent(format!("{}: the answer is no JSON but {said}", self.asked)).because(e)
        })
    }

    /// Whole and tenths of milliseconds.
    pub(crate) fn took_ms(&self) -> f64 {
        (self.took.as_secs_f64() * 10_000.0).round() / 10.0
    }
}

/// The beginning of a text as one quoted line, for messages.
pub(crate) fn beginning(text: &str) -> String {
    const SHOWN: usize = 120;
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > SHOWN {
        line = line.chars().take(SHOWN).collect::<String>() + "…";
    }
    if line.is_empty() { "nothing".to_owned() } else { format!("{line:?}") }
}

/// An address without what may be secret: user and password are left out, the query is `?…`.
pub(crate) fn shown(url: &str) -> String {
    let (rest, query) = match url.split_once(['?', '#']) {
        Some((rest, _)) => (rest, "?…"),
        None => (url, ""),
    };
    let Some((scheme, rest)) = rest.split_once("://") else {
        return format!("{rest}{query}");
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}{query}")
}

/// A client: keeps connections open between requests. Proxies come from the environment
/// (`HTTPS_PROXY`, `NO_PROXY`), as everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    login: Login,
    timeout: Duration,
    reply_bytes_max: u64,
    /// Whether it has a certificate to show.
    certified: bool,
}

impl Client {
    /// Makes a client; connects nowhere yet.
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { timeout, redirects, login, roots, certificate, reply_bytes_max } = settings;
        let certified = certificate.is_some();
        let mut tls = TlsConfig::builder().client_cert(certificate);
        if let Some(roots) = roots {
            tls = tls.root_certs(roots);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(redirects)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .max_idle_connections(IDLE_MAX * 4)
            .max_idle_connections_per_host(IDLE_MAX)
            .user_agent(concat!("segue/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        Self { agent: config.new_agent(), login, timeout, reply_bytes_max, certified }
    }

    /// With another limit for replies, in bytes.
    #[must_use]
    pub(crate) fn reply_bytes_max(self, bytes: u64) -> Self {
        Self { reply_bytes_max: bytes, ..self }
    }

    /// Asks, and waits for the whole reply. Every status is a reply.
    ///
    /// # Errors
    /// There is no whole reply: see [`HttpErrorKind`].
    pub(crate) fn send(&self, request: &Request) -> Result<Reply, HttpError> {
        let asked = request.shown();
        let wrong = |what: String| HttpError::invalid(&asked, what);
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong(format!("{:?} is no method", request.method)))?;
        let uri: Uri = request.url.parse().map_err(|e| wrong(format!("the address is not valid: {e}")))?;
        let mut built = http::Request::builder().method(method).uri(uri.clone());
        for (name, value) in &request.headers {
            let header = HeaderName::from_bytes(name.as_bytes());
            let header = header.map_err(|_| wrong(format!("{name:?} is no header's name")))?;
            let value = HeaderValue::from_str(value);
            built = built.header(header, value.map_err(|_| wrong(format!("header {name} is not valid")))?);
        }
        let at = Timestamp::now();
        for (name, value) in self.login_headers(request, &uri, at, &asked)? {
            built = built.header(name, value);
        }
        let is_bare = uri.scheme_str() == Some("https") && !self.certified;
        let failed = |e: ureq::Error| {
            let error = HttpError::new(&asked, self.timeout, &e);
            if is_bare { error.without_certificate() } else { error }
        };
        let before = Instant::now();
        let _waits = waiting(format!("an answer to {asked}"), self.timeout);
        let invalid = |e: http::Error| wrong(e.to_string());
        let mut reply = match &request.body {
            Some(body) => {
                let built = built.body(body.as_slice()).map_err(invalid)?;
                self.agent.run(built)
            }
            None => self.agent.run(built.body(()).map_err(invalid)?),
        }
        .map_err(failed)?;
        let status = reply.status().as_u16();
        let asks = reply.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after_s = asks.and_then(|text| text.trim().parse().ok());
        if matches!(self.login, Login::Aws(_)) && status == 403 {
            let date = reply.headers().get("date").and_then(|date| date.to_str().ok());
            if let Some(skew) = sigv4::skew(date, at) {
                return Err(HttpError::clock(&asked, &skew));
            }
        }
        let body = self.read(reply.body_mut(), &asked)?;
        Ok(Reply { status, body, took: before.elapsed(), retry_after_s, asked })
    }

    fn read(&self, body: &mut Body, asked: &str) -> Result<Vec<u8>, HttpError> {
        let told = body.content_length().unwrap_or(0).min(self.reply_bytes_max);
        let mut bytes = Vec::with_capacity(usize::try_from(told).unwrap_or(0));
        let mut reader = body.as_reader().take(self.reply_bytes_max.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|e| HttpError::new(asked, self.timeout, &e.into()))?;
        if bytes.len() as u64 > self.reply_bytes_max {
            return Err(HttpError::too_large(asked, self.reply_bytes_max));
        }
        Ok(bytes)
    }

    /// What a request carries so that the server knows who asks.
    fn login_headers(
        &self,
        request: &Request,
        uri: &Uri,
        at: Timestamp,
        asked: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, HttpError> {
        let authorization = |text: String| vec![("authorization".to_owned(), Secret::new(text))];
        let found = match &self.login {
            Login::None => return Ok(Vec::new()),
            Login::Basic { username, password } => {
                let both = STANDARD.encode(format!("{username}:{}", password.reveal()));
                authorization(format!("Basic {both}"))
            }
            Login::Bearer(token) => authorization(format!("Bearer {}", token.reveal())),
            Login::ApiKey(key) => authorization(format!("ApiKey {}", key.reveal())),
            Login::Header { name, value } => vec![(name.clone(), value.clone())],
            Login::Aws(signer) => {
                let Request { method, url: _, headers, body } = request;
                let body = body.as_deref().map_or(&[] as &[u8], Vec::as_slice);
                signer.headers(&sigv4::Signed { method, uri, headers, body }, at)
            }
        };
        found.into_iter().map(|(name, value)| secret_header(&name, &value, asked)).collect()
    }
}

fn secret_header(name: &str, value: &Secret, asked: &str) -> Result<(HeaderName, HeaderValue), HttpError> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| HttpError::invalid(asked, format!("{name:?} is no header's name")))?;
    // The cause is not shown: it could name the secret.
    let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| {
        HttpError::invalid(
            asked,
            format!("the secret for header {name} has characters that no header can carry"),
        )
    })?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests;
