//! A server on samod's axum support, with documents in files: the least there is to write. It owns no behaviour of its own.

use std::error::Error;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use samod::storage::TokioFilesystemStorage;
use samod::{Repo, ShareConfig};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: rejoin-bench-samod FOLDER")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // As the sync server of automerge-repo: documents go to those who ask for them.
    let repo = Repo::build_tokio().with_storage(TokioFilesystemStorage::new(folder));
    let repo = repo.with_share_policy(ShareConfig::read_write().with_announce(false)).load().await;
    let acceptor = repo.make_acceptor(format!("ws://{address}/").parse::<url::Url>()?)?;
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let acceptor = acceptor.clone();
        async move {
            upgrade.on_upgrade(move |socket| async move {
                // Only a repo that has stopped refuses.
                drop(acceptor.accept_axum(socket, None));
            })
        }
    };
    println!("listening on http://{address}");
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let serve = axum::serve(listener, Router::new().route("/", get(upgrade)));
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        served = serve => served?,
        _ = ended.recv() => repo.stop().await,
    }
    Ok(())
}
