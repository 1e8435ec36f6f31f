//! A client in Python, written from docs/protocol.md, docs/pack-format.md and the golden vectors alone, against the real server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rejoin_tests::server::Server;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_client_written_from_the_pages_opens_pushes_resumes_and_reconciles() {
    let server = Server::start(None, &[0]).await.expect("the server starts");
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/client.py");
    let child = Command::new("python3")
        .arg("-B")
        .arg(&client)
        .arg(server.address().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is there: cargo xtask setup installs it");
    let output = tokio::time::timeout(WITHIN, child.wait_with_output()).await.expect("in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("all well\n"), "{said}");
    server.stop().await.expect("it ends politely");
}
