//! Conflicts of a server that runs, over its HTTP API.
//!
//! Owns one request at a time on a connection of its own. What an answer means is the server's business.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sync_core::conflict::ConflictId;
use sync_core::id::DocumentName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::Failure;

/// How long a request may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A server, and how it is talked to.
pub(super) struct Remote {
    runtime: tokio::runtime::Runtime,
    host: String,
    port: u16,
    authority: String,
    /// What stands before its paths, without a slash at the end.
    prefix: String,
    tls: Option<TlsConnector>,
    token: Option<String>,
}

impl Remote {
    /// The server at a URL, such as `http://127.0.0.1:8787` or `https://sync.example.org`.
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let bad = |what: &str| Failure::usage(format!("--server {url}: {what}"));
        let uri: Uri = url.parse().map_err(|_| bad("this is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(tls().map_err(|e| bad(&e))?),
            _ => return Err(bad("it begins with http:// or https://")),
        };
        let host = uri.host().ok_or_else(|| bad("it names no host"))?.trim_matches(['[', ']']).to_owned();
        let authority = uri.authority().map(|authority| authority.to_string()).unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::data)?;
        Ok(Self { runtime, host, port, authority, prefix, tls, token })
    }

    pub(super) fn names(&self) -> Result<Vec<DocumentName>, Failure> {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.ask(Method::GET, &format!("/v1/documents?limit=1000&after={}", segment(&after)), None)?;
            let found = page["documents"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
            names.extend(found.filter_map(|name| DocumentName::parse(name).ok()));
            match page["next"].as_str() {
                Some(next) if next > after.as_str() => after = next.to_owned(),
                _ => return Ok(names),
            }
        }
    }

    pub(super) fn conflicts(&self, document: &DocumentName) -> Result<Vec<Value>, Failure> {
        let told = self.ask_of(document, Method::GET, "", None)?;
        if let Some(more) = told["more"].as_u64() {
            eprintln!("{document}: {more} more are not told");
        }
        Ok(told["conflicts"].as_array().cloned().unwrap_or_default())
    }

    pub(super) fn conflict(&self, document: &DocumentName, id: ConflictId) -> Result<Value, Failure> {
        self.ask_of(document, Method::GET, &format!("/{id}"), None)
    }

    /// Sends an answer, or what takes one back. Gives the change that was written.
    pub(super) fn send(&self, document: &DocumentName, below: &str, body: &Value) -> Result<String, Failure> {
        let told = self.ask_of(document, Method::POST, &format!("/{below}"), Some(body))?;
        Ok(told["change"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks for a document's conflicts, or what is below them.
    fn ask_of(
        &self,
        document: &DocumentName,
        method: Method,
        below: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let told = self.ask(method, &format!("/v1/documents/{}/conflicts{below}", segment(document.as_str())), body);
        told.map_err(|e| Failure { message: format!("{document}: {}", e.message), ..e })
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let asked = async { tokio::time::timeout(ANSWERED_WITHIN, self.asked(method, path, body)).await };
        let answer = self.runtime.block_on(asked).unwrap_or_else(|_| Err("it does not answer".into()));
        let (status, body) = answer.map_err(|e| Failure::data(format!("{}: {e}", self.authority)))?;
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(told);
        }
        let message = told["error"]["message"].as_str().map_or_else(|| status.to_string(), ToOwned::to_owned);
        Err(Failure::data(message))
    }

    async fn asked(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.prefix));
        request = request.header(HOST, &self.authority).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| e.to_string())?;
        socket.set_nodelay(true).map_err(|e| e.to_string())?;
        match &self.tls {
            None => converse(socket, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
                converse(tls.connect(name, socket).await.map_err(|e| e.to_string())?, request).await
            }
        }
    }
}

async fn converse(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) = handshake(TokioIo::new(socket)).await.map_err(|e| e.to_string())?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
    driving.abort();
    Ok((status, body.to_bytes()))
}

fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// Trusts what the operating system trusts.
fn tls() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        let why = system.errors.first().map_or_else(|| "none were found".into(), ToString::to_string);
        return Err(format!("the system has no root certificates ({why}); install ca-certificates"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
