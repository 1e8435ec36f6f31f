//! TLS to the server: which certificates are trusted.
//!
//! Owns the roots of trust, read once when the client is opened. Names no algorithm: those are rustls's defaults.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::Connector;

/// A connector that trusts what the operating system trusts, and the certificates in `also` (DER). Reads files: call it where blocking is allowed.
pub(crate) fn connector(also: &[Vec<u8>]) -> Result<Connector, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    for certificate in also {
        let der = CertificateDer::from(certificate.as_slice()).into_owned();
        roots.add(der).map_err(|e| format!("a root certificate does not parse: {e}"))?;
    }
    if roots.is_empty() {
        let why = system.errors.first().map_or_else(|| "none were found".into(), ToString::to_string);
        return Err(format!("the system has no root certificates ({why}); install ca-certificates or name one"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}
