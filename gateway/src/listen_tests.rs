use axum::body::Bytes;
use sillage_proof::TreeSize;
use sillage_proof::tile::TileCoord;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::log::{Seen, Trouble};

struct Empty;

impl Log for Empty {
    async fn checkpoint(&self) -> Result<Seen, Trouble> {
        Ok(Seen { note: Bytes::from_static(b"note"), size: TreeSize(0) })
    }

    async fn tile(&self, _: TileCoord) -> Result<Option<Bytes>, Trouble> {
        Ok(None)
    }

    async fn entries(&self, _: u64, _: u16, _: Spki) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
        Ok(None)
    }
}

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    working: mpsc::Receiver<Infallible>,
}

async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let (held, working) = mpsc::channel(1);
    tokio::spawn(run(listener, Port { log: Arc::new(Empty), tls: None, limits, stop: stopped, working: held }));
    Running { address, stop, working }
}

/// Sends `request` and reads to the end of the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A connection that is refused may be reset.
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET /checkpoint HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_has_the_headers_and_no_body() {
    let running = start(Limits::default()).await;
    let got = exchange(running.address, GET).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\nnote"), "{got}");
    let head = exchange(running.address, &GET.replace("GET", "HEAD")).await;
    assert!(head.contains("content-length: 4") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn a_request_without_one_host_or_with_lines_that_end_in_lf_alone_is_refused() {
    let running = start(Limits::default()).await;
    let hosts = ["", "Host: a\r\nHost: b\r\n"];
    for (version, hosts) in hosts.iter().flat_map(|hosts| [("1.1", hosts), ("1.0", hosts)]) {
        let asked = format!("GET /checkpoint HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let got = exchange(running.address, &asked).await;
        assert!(got.contains(" 400 ") && !got.contains("note"), "{asked:?}: {got}");
    }
    let parts: Vec<&str> = GET.split_inclusive("\r\n").collect();
    for bare in 0..parts.len() {
        let lf = |(at, part): (usize, &&str)| if at == bare { part.replace('\r', "") } else { (*part).to_owned() };
        let asked: String = parts.iter().enumerate().map(lf).collect();
        let got = exchange(running.address, &asked).await;
        assert!(got.starts_with("HTTP/1.1 400") && !got.contains("note"), "{asked:?}: {got}");
    }
    let all = exchange(running.address, &GET.replace('\r', "")).await;
    assert!(all.starts_with("HTTP/1.1 400"), "{all}");
    assert!(exchange(running.address, GET).await.ends_with("note"));
}

#[test]
fn addresses_of_one_network_are_one_caller() {
    let caller = |address: &str| caller_of(address.parse().expect("an address"));
    assert_eq!(caller("2001:db8:1:2::1"), caller("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(caller("2001:db8:1:2::1"), caller("2001:db8:1:3::1"));
    assert_eq!(caller("::ffff:192.0.2.7"), caller("192.0.2.7"), "the same, over a socket of both");
    assert_ne!(caller("192.0.2.7"), caller("192.0.2.8"));
}

#[tokio::test]
async fn one_address_never_has_all_places() {
    let running = start(Limits { connections_max: 8, connections_per_address_max: 256, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(TcpStream::connect(running.address).await.expect("connected"));
    }
    // Two of eight are this address's: the others were let go at once.
    let mut closed = 0;
    for stream in &mut held {
        let ended = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
        closed += usize::from(ended.is_ok());
    }
    assert_eq!(closed, 6);
}

#[tokio::test]
async fn headers_and_connections_are_bounded() {
    let running = start(Limits { connections_per_address_max: 1, ..Limits::default() }).await;
    let long = format!("GET /checkpoint HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let refused = exchange(running.address, &long).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    let idle = TcpStream::connect(running.address).await.expect("connected");
    // The first one may still be leaving: ask until the idle one has the only place.
    while !exchange(running.address, GET).await.is_empty() {}
    drop(idle);
    while !exchange(running.address, GET).await.ends_with("note") {}
}

#[tokio::test]
async fn who_says_nothing_is_let_go_and_a_stop_waits_for_nobody_idle() {
    let mut running = start(Limits { header_timeout_ms: 20, ..Limits::default() }).await;
    assert_eq!(exchange(running.address, "").await, "");
    let _idle = TcpStream::connect(running.address).await.expect("connected");
    running.stop.send(true).expect("someone listens");
    assert!(running.working.recv().await.is_none());
}

#[test]
fn what_is_no_certificate_has_no_key() {
    assert_eq!(spki_sha256(b"not a certificate"), None);
    let missing = TlsConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        cert: "/nowhere/a.pem".into(),
        key: "/nowhere/a.key".into(),
        ca: "/nowhere/ca.pem".into(),
    };
    assert!(acceptor(&missing).err().is_some_and(|error| error.to_string().contains("/nowhere/ca.pem")));
}
