use std::net::SocketAddr;

use axum::body::Bytes;
use sillage_proof::TreeSize;
use sillage_proof::tile::TileCoord;
use sillage_web::listen::{Bounds, run};
use sillage_web::tls::Spki;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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

/// Sends `request` and reads to the end of the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET /checkpoint HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_has_the_headers_and_no_body_and_a_wrong_request_gets_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(run(listener, Arc::new(Edge { log: Arc::new(Empty) }), None, Bounds::default(), stopped));

    let got = exchange(address, GET).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\nnote"), "{got}");
    let head = exchange(address, &GET.replace("GET", "HEAD")).await;
    assert!(head.contains("content-length: 4") && head.ends_with("\r\n\r\n"), "{head}");
    let refused = exchange(address, &GET.replace("Host: a\r\n", "")).await;
    assert!(refused.contains(" 400 ") && refused.ends_with("section 3.2)\n"), "{refused}");
}
