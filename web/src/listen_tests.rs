use axum::http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;

/// Answers with the body that it was sent, in brackets.
struct Echo;

impl Handler for Echo {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        assert!(peer.address.is_loopback() && peer.certificate.is_none());
        let Ok(body) = axum::body::to_bytes(Body::new(request.into_body()), 1 << 20).await else {
            return self.refuse("no whole body");
        };
        Response::new(Body::from([b"<", &body[..], b">"].concat()))
    }

    fn refuse(&self, why: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::from(why));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    port: JoinHandle<()>,
}

async fn start(bounds: Bounds) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let port = tokio::spawn(run(listener, Arc::new(Echo), None, bounds, stopped));
    Running { address, stop, port }
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

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_body_with_line_feeds_arrives_as_it_was_sent() {
    let running = start(Bounds::default()).await;
    let first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n{\n1\n\n}";
    let second =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n\n2\r\n0\r\n\r\n";
    let got = exchange(running.address, &format!("{first}{second}")).await;
    assert!(got.contains("\r\n\r\n<{\n1\n\n}>HTTP/1.1 200") && got.ends_with("<\n2>"), "{got}");
}

#[tokio::test]
async fn a_request_without_one_host_or_with_lines_that_end_in_lf_alone_is_refused() {
    let running = start(Bounds::default()).await;
    let hosts = ["", "Host: a\r\nHost: b\r\n"];
    for (version, hosts) in hosts.iter().flat_map(|hosts| [("1.1", hosts), ("1.0", hosts)]) {
        let asked = format!("GET / HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let got = exchange(running.address, &asked).await;
        assert!(got.contains(" 400 ") && !got.contains("<>"), "{asked:?}: {got}");
    }
    let parts: Vec<&str> = GET.split_inclusive("\r\n").collect();
    for bare in 0..parts.len() {
        let lf = |(at, part): (usize, &&str)| if at == bare { part.replace('\r', "") } else { (*part).to_owned() };
        let asked: String = parts.iter().enumerate().map(lf).collect();
        let got = exchange(running.address, &asked).await;
        assert!(got.starts_with("HTTP/1.1 400") && !got.contains("<>"), "{asked:?}: {got}");
    }
    let all = exchange(running.address, &GET.replace('\r', "")).await;
    assert!(all.starts_with("HTTP/1.1 400"), "{all}");
    assert!(exchange(running.address, GET).await.ends_with("<>"));
}

#[tokio::test]
async fn a_request_whose_body_has_two_lengths_is_refused() {
    let running = start(Bounds::default()).await;
    for lengths in ["Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"]
    {
        let asked = format!("POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let got = exchange(running.address, &asked).await;
        assert!(got.starts_with("HTTP/1.1 400") && !got.contains('<'), "{asked:?}: {got}");
    }
}

#[tokio::test]
async fn a_broken_chunk_never_becomes_a_whole_body() {
    let running = start(Bounds::default()).await;
    let asked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\n\n2\r\n0\r\n\r\n";
    let got = exchange(running.address, asked).await;
    assert!(got.is_empty() || got.ends_with("no whole body"), "{got}");
}

#[tokio::test]
async fn headers_and_connections_are_bounded() {
    let running = start(Bounds { connections_per_address_max: 1, ..Bounds::default() }).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let refused = exchange(running.address, &long).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    let idle = TcpStream::connect(running.address).await.expect("connected");
    // The first one may still be leaving: ask until the idle one has the only place.
    while !exchange(running.address, GET).await.is_empty() {}
    drop(idle);
    while !exchange(running.address, GET).await.ends_with("<>") {}
}

#[tokio::test]
async fn who_says_nothing_is_let_go_and_a_stop_waits_for_nobody_idle() {
    let running = start(Bounds { header_timeout_ms: 20, ..Bounds::default() }).await;
    assert_eq!(exchange(running.address, "").await, "");
    let _idle = TcpStream::connect(running.address).await.expect("connected");
    running.stop.send(true).expect("someone listens");
    running.port.await.expect("it ends");
}
