//! A client that talks TLS: to a server whose certificate it trusts, and not to another.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sync_client::{Client, ClientConfig, ClientEvent, InitValue, OpenError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::api::{text_of, write};
use crate::server::Server;

/// What stands in front of a server: ends TLS and passes on the bytes. Gives its address, and its certificate.
async fn terminator(server: SocketAddr) -> (SocketAddr, Vec<u8>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a name that certificates take");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("the key is the certificate's");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us leaves in the middle of the handshake.
                let Ok(mut clear) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(server).await.expect("the server listens");
                let _ = copy_bidirectional(&mut clear, &mut inside).await;
            });
        }
    });
    (address, cert.der().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_syncs_over_tls_with_a_server_it_trusts() {
    crate::in_time(async {
        let server = Server::start().await;
        let (address, certificate) = terminator(server.address()).await;
        let dir = tempfile::tempdir().expect("a folder");
        let config = ClientConfig::new(format!("wss://{address}/sync"), dir.path()).root_certificate(certificate);
        let client = Client::open(config).await.expect("the client opens");
        let document = client.document("secret").await.expect("opens");
        document.init("text", InitValue::Text).expect("made");
        let edit = write(&document, "between us");
        document.acknowledged(edit).await.expect("the server takes it");
        assert_eq!(text_of(&document), "between us");
        client.close().await.expect("closes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_trusted_is_not_talked_to_and_the_reason_is_said() {
    crate::in_time(async {
        let server = Server::start().await;
        let (address, _) = terminator(server.address()).await;
        let (_, another) = terminator(server.address()).await;
        let dir = tempfile::tempdir().expect("a folder");
        let config = ClientConfig::new(format!("wss://{address}/sync"), dir.path()).root_certificate(another).offline();
        let client = Client::open(config).await.expect("the client opens");
        let mut events = client.subscribe();
        let document = client.document("secret").await.expect("opens");
        document.init("text", InitValue::Text).expect("made");
        write(&document, "between us");
        client.go_online().expect("it is open");
        let reason = loop {
            match events.next().await.expect("it is open") {
                ClientEvent::Disconnected { reason, .. } => break reason,
                _ => continue,
            }
        };
        assert!(reason.to_lowercase().contains("certificate"), "{reason}");
        assert_eq!(server.log_length("secret"), 0);
        assert_eq!(document.status().pending, 2);
        client.close().await.expect("closes");
    })
    .await;
}

#[tokio::test]
async fn a_root_certificate_that_is_none_is_refused_at_the_opening() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = ClientConfig::new("wss://127.0.0.1:1/sync", dir.path()).root_certificate(b"no certificate".to_vec());
    let refused = Client::open(config).await.expect_err("it does not parse");
    assert!(matches!(refused, OpenError::Tls(_)), "{refused}");
}
