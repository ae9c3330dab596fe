//! Real handshakes over loopback, with the certificates that `init` makes.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;

use super::accept::{AcceptLimits, Incoming, accept, accept_with};
use super::reserve::Reserve;
use super::*;
use crate::core::condition::alarms::{Alarm, Alarms};
use crate::init::files;
use crate::init::pki::{Ca, Certified};
use crate::metrics::{DropLabel, Metrics};

struct Pki {
    dir: tempfile::TempDir,
    ca: Ca,
}

impl Pki {
    fn new() -> Self {
        let ca = Ca::new("log.example/tls", 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        files::public(&dir.path().join("ca.pem"), &ca.own.cert_pem).unwrap();
        Self { dir, ca }
    }

    fn identity(&self, name: &str, certified: &Certified) -> Identity {
        let at = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        files::public(&at("pem"), &certified.cert_pem).unwrap();
        files::secret(&at("key"), certified.key_pem.as_bytes()).unwrap();
        let files = TlsConfig { ca: self.dir.path().join("ca.pem"), cert: at("pem"), key: at("key") };
        Identity::load(&files).unwrap()
    }

    fn node(&self, id: u64) -> Identity {
        let certified = self.ca.node(id, &["two.example".to_owned()]).unwrap();
        self.identity(&format!("node-{id}"), &certified)
    }

    fn caller(&self, name: &str) -> Identity {
        self.identity(name, &self.ca.caller(name).unwrap())
    }
}

fn limits() -> AcceptLimits {
    AcceptLimits {
        connections_max: 4,
        per_caller_max: 2,
        handshakes_max: 3,
        handshake_timeout: Duration::from_secs(10),
        silence_max: Duration::from_secs(30),
    }
}

async fn port(node: &Identity, only: Option<pin::Pins>, limits: AcceptLimits) -> (SocketAddr, Incoming, Metrics) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new(1);
    let config = server_config(node, only).unwrap();
    let incoming = accept(listener, config, limits, "client", metrics.clone());
    (address, incoming, metrics)
}

type Client = tokio_rustls::client::TlsStream<TcpStream>;

/// Connects, and waits for the server's verdict: in TLS 1.3 the client's side is done before it.
async fn call(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> std::io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

async fn refused(address: SocketAddr, config: Arc<ClientConfig>) -> bool {
    let Ok(mut stream) = call(address, config, SERVER_NAME).await else {
        return true;
    };
    let _refused_already = stream.write_all(b"hello").await;
    !matches!(stream.read(&mut [0; 1]).await, Ok(n) if n > 0)
}

fn dropped(metrics: &Metrics, reason: &'static str) -> u64 {
    let port = "client";
    metrics.connections_dropped.get_or_create(&DropLabel { port, reason }).get()
}

#[tokio::test]
async fn a_caller_is_known_by_its_key_under_every_name_of_the_node() {
    let pki = Pki::new();
    let (address, mut incoming, _) = port(&pki.node(2), None, limits()).await;
    let caller = pki.caller("dmp");
    for name in [SERVER_NAME, "node-2", "localhost", "127.0.0.1", "two.example"] {
        let config = client_config(&caller, None).unwrap();
        let (client, served) = tokio::join!(call(address, config, name), incoming.next());
        let info = tonic::transport::server::Connected::connect_info(&served.unwrap().unwrap());
        assert_eq!(info.spki_sha256, caller.spki_sha256().unwrap(), "{name}");
        client.unwrap();
    }
    let config = client_config(&caller, None).unwrap();
    assert!(call(address, config, "node-3").await.is_err());
}

#[tokio::test]
async fn without_a_certificate_of_this_authority_there_is_no_answer() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (address, mut incoming, metrics) = port(&pki.node(1), None, limits()).await;
    let stranger = other.caller("stranger");
    // A stranger that doesn't even care who answers: it trusts our authority, but has another one's certificate.
    let mixed = Identity { roots: pki.caller("any").roots, ..stranger };
    assert!(refused(address, client_config(&mixed, None).unwrap()).await);
    let nobody = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(mixed.roots)
        .with_no_client_auth();
    assert!(refused(address, Arc::new(nobody)).await);
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(dropped(&metrics, "handshake_failed"), 3);
    let nothing = tokio::time::timeout(Duration::from_millis(50), incoming.next()).await;
    assert!(nothing.is_err(), "no connection got through");
}

#[tokio::test]
async fn the_peer_port_takes_the_nodes_of_the_log_alone_and_follows_it() {
    let pki = Pki::new();
    let (one, two, caller) = (pki.node(1), pki.node(2), pki.caller("dmp"));
    let pins = pin::Pins::new([(two.spki_sha256().unwrap(), 2)]);
    let (address, mut incoming, _) = port(&one, Some(pins.clone()), limits()).await;
    assert!(refused(address, client_config(&caller, None).unwrap()).await);
    let config = client_config(&two, one.spki_sha256().ok()).unwrap();
    let (client, served) = tokio::join!(call(address, config, "node-1"), incoming.next());
    served.unwrap().unwrap();
    client.unwrap();
    let config = client_config(&two, Some([9; 32])).unwrap();
    assert!(call(address, config, "node-1").await.is_err());

    pins.set([([7; 32], 4)]);
    let config = client_config(&two, one.spki_sha256().ok()).unwrap();
    assert!(refused(address, config).await, "a node that was removed gets no further");
}

#[tokio::test]
async fn one_caller_gets_its_share_and_gives_it_back() {
    let pki = Pki::new();
    let (address, mut incoming, metrics) = port(&pki.node(1), None, limits()).await;
    let greedy = client_config(&pki.caller("greedy"), None).unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        let (client, served) = tokio::join!(call(address, greedy.clone(), SERVER_NAME), incoming.next());
        held.push((client.unwrap(), served.unwrap().unwrap()));
    }
    assert!(refused(address, greedy.clone()).await);
    assert_eq!(dropped(&metrics, "per_caller_max"), 1);
    let modest = client_config(&pki.caller("modest"), None).unwrap();
    let (client, served) = tokio::join!(call(address, modest, SERVER_NAME), incoming.next());
    assert!(client.is_ok() && served.is_some());

    held.pop();
    let (client, served) = tokio::join!(call(address, greedy, SERVER_NAME), incoming.next());
    assert!(client.is_ok() && served.is_some());
}

#[tokio::test]
async fn a_caller_that_used_up_its_connections_is_still_heard_for_monitoring() {
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, metrics) = (listener.local_addr().unwrap(), Metrics::new(1));
    let alarms = Alarms::new(metrics.clone());
    let (config, reserve) = (server_config(&pki.node(1), None).unwrap(), Reserve::new(2, alarms.clone()));
    let mut incoming = accept_with(listener, config, limits(), Some(reserve), "client", metrics.clone());
    let greedy = client_config(&pki.caller("greedy"), None).unwrap();
    let mut held = Vec::new();
    for n in 0..20 {
        let (client, served) = tokio::join!(call(address, greedy.clone(), SERVER_NAME), incoming.next());
        let served = served.unwrap().unwrap();
        let info = tonic::transport::server::Connected::connect_info(&served);
        assert_eq!(info.monitoring_only, n >= 2, "connection {n}");
        held.push((client.unwrap(), served));
    }
    assert!(alarms.is_raised(Alarm::ConnectionsUsedUp));
    assert_eq!(dropped(&metrics, "per_caller_max"), 0);
    // The oldest of the reserve had to go, the newest is served.
    let aborted = held[2].1.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(aborted.kind(), std::io::ErrorKind::ConnectionAborted);
    let (client, served) = held.last_mut().unwrap();
    client.write_all(b"how are you").await.unwrap();
    let mut asked = [0; 11];
    served.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"how are you");
    held.clear();
    assert!(!alarms.is_raised(Alarm::ConnectionsUsedUp), "there is room again");
}

#[tokio::test]
async fn half_open_connections_keep_nobody_out() {
    let pki = Pki::new();
    let (address, mut incoming, metrics) = port(&pki.node(1), None, limits()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let config = client_config(&pki.caller("dmp"), None).unwrap();
    let (client, served) = tokio::join!(call(address, config, SERVER_NAME), incoming.next());
    assert!(client.is_ok() && served.is_some());
    assert!(dropped(&metrics, "handshake_crowded") >= 47);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_closed() {
    let pki = Pki::new();
    let short = AcceptLimits { silence_max: Duration::from_millis(20), ..limits() };
    let (address, mut incoming, _) = port(&pki.node(1), None, short).await;
    let config = client_config(&pki.caller("dmp"), None).unwrap();
    let (client, served) = tokio::join!(call(address, config, SERVER_NAME), incoming.next());
    let _open = client.unwrap();
    let mut served = served.unwrap().unwrap();
    let error = served.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
