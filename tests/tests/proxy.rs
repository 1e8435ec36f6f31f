//! The bad network is as bad as it says, and no worse.

use std::time::Duration;

use rejoin_tests::proxy::{Lane, Proxy, Way, Weather};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that sends back what it gets, with a proxy before it.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Proxy::start(address).await.expect("a free port")
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.expect("the proxy listens")
}

async fn said_back(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("open");
    let mut back = vec![0; bytes.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("in time").expect("open");
    assert_eq!(back, bytes);
}

#[tokio::test]
async fn good_weather_passes_and_counts() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    said_back(&mut stream, b"one").await;
    said_back(&mut stream, &[7; 100_000]).await;
    stream.shutdown().await.expect("open");
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("in time").expect("a polite end"), 0);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.up_bytes, counts.down_bytes), (1, 100_003, 100_003));
    assert!(counts.round_trips >= 2);
}

#[tokio::test]
async fn a_cut_falls_where_it_is_told_and_is_no_polite_end() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    said_back(&mut stream, b"before").await;
    proxy.cut_after(Way::Down, 10);
    stream.write_all(&[1; 100]).await.expect("open");
    let mut back = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut back)).await.expect("in time");
    assert_eq!(end.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    assert!(back.len() <= 10, "{}", back.len());
    said_back(&mut connect(&proxy).await, b"after").await;
}

#[tokio::test]
async fn swallowed_bytes_leave_both_sides_waiting_until_the_weather_turns() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    said_back(&mut stream, b"before").await;
    proxy.set(Weather { down: Lane { swallow: true, ..Lane::default() }, ..Weather::default() });
    stream.write_all(b"heard but not answered").await.expect("open");
    let silent = timeout(Duration::from_millis(200), stream.read(&mut [0; 1])).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(proxy.counts().up_bytes, 6 + 22);
    assert_eq!(proxy.counts().swallowed_bytes, 22);
    proxy.set(Weather::default());
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("in time");
    assert_eq!(end.expect_err("a connection that lost bytes is reset").kind(), std::io::ErrorKind::ConnectionReset);
    said_back(&mut connect(&proxy).await, b"after").await;
}

#[tokio::test]
async fn delay_and_bandwidth_take_their_time() {
    let proxy = echo().await;
    proxy.set(Weather::delayed(Duration::from_millis(50)));
    let mut stream = connect(&proxy).await;
    let start = Instant::now();
    said_back(&mut stream, b"far away").await;
    assert!(start.elapsed() >= Duration::from_millis(100));
    proxy.set(Weather { up: Lane { bytes_per_second: Some(100_000), ..Lane::default() }, ..Weather::default() });
    let start = Instant::now();
    said_back(&mut stream, &[0; 40_000]).await;
    assert!(start.elapsed() >= Duration::from_millis(300));
}
