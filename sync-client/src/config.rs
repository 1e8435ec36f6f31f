//! What a client is told when it is opened.

use std::path::PathBuf;

use sync_core::id::{AuthorError, AuthorName};
use sync_core::replica;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::OpenError;

/// Where the server and the local store are, and the bounds to keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The server's WebSocket address, such as `wss://example.org/sync`, or `ws://127.0.0.1:8787/sync` where nobody listens in.
    pub url: String,
    /// Certificates (DER) trusted for `wss` beside those that the operating system trusts.
    pub root_certificates: Vec<Vec<u8>>,
    /// The folder of the local store, made if it does not exist. One process at a time can hold it.
    pub store_dir: PathBuf,
    /// Token, bounds and times of the replica; the defaults suit a person at a keyboard.
    pub replica: replica::Config,
}

impl ClientConfig {
    /// A client of the server at `url` that keeps its documents in the folder `store_dir`.
    pub fn new(url: impl Into<String>, store_dir: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            store_dir: store_dir.into(),
            root_certificates: Vec::new(),
            replica: replica::Config::default(),
        }
    }

    /// Does not connect until [`crate::Client::go_online`].
    pub fn offline(mut self) -> Self {
        self.replica.online = false;
        self
    }

    /// Shows this token to the server.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.replica.token = Some(token.into());
        self
    }

    /// Has every change name its author: a user's id or name, 1 to 256 bytes. It is a claim, which whoever sees the change is told. Where somebody
    /// else, or nobody, was named here before, what is written from now on names this one.
    ///
    /// # Errors
    /// If that is no name.
    pub fn author(mut self, name: &str) -> Result<Self, AuthorError> {
        self.replica.author = Some(AuthorName::parse(name)?);
        Ok(self)
    }

    /// Trusts a certificate (DER) of one's own beside those that the operating system trusts.
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(der.into());
        self
    }

    /// The address, if it is one that this build can connect to.
    pub(crate) fn uri(&self) -> Result<Uri, OpenError> {
        let bad = |reason: String| OpenError::Url { url: self.url.clone(), reason };
        let uri: Uri = self.url.parse().map_err(|e| bad(format!("{e}")))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("ws" | "wss"), Some(_)) => Ok(uri),
            _ => Err(bad("it begins with ws:// or wss:// and a host".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_dialled_are_taken() {
        let check = |url: &str, good: bool| assert_eq!(ClientConfig::new(url, "x").uri().is_ok(), good, "{url}");
        check("ws://127.0.0.1:8787/sync", true);
        check("ws://[::1]:8787/sync", true);
        check("ws://example.org", true);
        check("wss://example.org/sync", true);
        check("wss://", false);
        check("http://example.org/sync", false);
        check("127.0.0.1:8787", false);
        check("", false);
    }
}
