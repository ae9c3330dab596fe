//! The loop that accepts connections, and the limits that a flood meets.
//!
//! A port has room for so many handshakes and so many connections. Accepting never waits: when the handshakes are too
//! many, the oldest unfinished one goes, so that holding connections half open keeps nobody else out. Connections that
//! are through are counted per certificate. Each port counts for itself: a flood on the client port leaves the peers
//! alone.
//!
//! Beyond these limits a port keeps a [`reserve`](super::reserve) for monitoring, also of the very caller that used its
//! connections up. The purpose of a connection isn't known before its first request: so one of the reserve may ask how
//! the node is and nothing else, and the oldest goes when the next one comes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::reserve::{Evicted, Reserve};
use super::{Caller, SpkiSha256, spki_sha256};
use crate::metrics::{Metrics, PortLabel};

/// The room of a port.
#[derive(Clone, Copy, Debug)]
pub struct AcceptLimits {
    /// Connections that are through the handshake.
    pub connections_max: usize,
    /// Of them, those of one certificate.
    pub per_caller_max: usize,
    /// Handshakes.
    pub handshakes_max: usize,
    /// For one handshake.
    pub handshake_timeout: Duration,
    /// A connection over which not a byte goes for this long is closed.
    pub silence_max: Duration,
}

/// A connection that tonic serves.
pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// Accepts on `listener` until the returned stream is dropped. `port` is the metrics' label.
pub fn accept(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: AcceptLimits,
    port: &'static str,
    metrics: Metrics,
) -> Incoming {
    accept_with(listener, tls, limits, None, port, metrics)
}

/// The same, with a reserve for monitoring.
pub fn accept_with(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: AcceptLimits,
    reserve: Option<Reserve>,
    port: &'static str,
    metrics: Metrics,
) -> Incoming {
    let (through, incoming) = mpsc::channel(16);
    let door = Arc::new(Door {
        tls: TlsAcceptor::from(tls),
        limits,
        port,
        metrics,
        room: Arc::new(Semaphore::new(limits.connections_max)),
        callers: Mutex::default(),
        reserve,
    });
    tokio::spawn(run(listener, door, through));
    ReceiverStream::new(incoming)
}

struct Door {
    tls: TlsAcceptor,
    limits: AcceptLimits,
    port: &'static str,
    metrics: Metrics,
    room: Arc<Semaphore>,
    callers: Mutex<HashMap<SpkiSha256, usize>>,
    reserve: Option<Reserve>,
}

async fn run(listener: TcpListener, door: Arc<Door>, through: mpsc::Sender<io::Result<Connection>>) {
    let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = through.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the caller was gone before it was accepted. Neither ends the port.
                tracing::warn!(port = door.port, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if handshakes.len() >= door.limits.handshakes_max {
            handshakes.retain(|handshake| !handshake.is_finished());
        }
        if handshakes.len() >= door.limits.handshakes_max
            && let Some(oldest) = handshakes.pop_front()
        {
            oldest.abort();
            door.metrics.dropped(door.port, "handshake_crowded");
        }
        let handshake = tokio::spawn(admit(door.clone(), stream, address, through.clone()));
        handshakes.push_back(handshake.abort_handle());
    }
}

/// One handshake, and the count of its caller.
async fn admit(door: Arc<Door>, stream: TcpStream, address: SocketAddr, through: mpsc::Sender<io::Result<Connection>>) {
    let _nagle_stays = stream.set_nodelay(true);
    let handshake = door.tls.accept(stream);
    let stream = match timeout(door.limits.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(port = door.port, %address, %error, "handshake refused");
            return door.metrics.dropped(door.port, "handshake_failed");
        }
        Err(_) => return door.metrics.dropped(door.port, "handshake_timeout"),
    };
    let certificate = stream.get_ref().1.peer_certificates();
    let Some(spki_sha256) = certificate.and_then(<[_]>::first).and_then(|own| spki_sha256(own)) else {
        return door.metrics.dropped(door.port, "handshake_failed");
    };
    let (place, evicted) = match (Place::take(&door, spki_sha256), &door.reserve) {
        (Ok(place), _) => (Some(place), None),
        (Err(full), None) => return door.metrics.dropped(door.port, full.reason()),
        (Err(full), Some(reserve)) => {
            if reserve.is_used_up(&full) {
                // What the ledger knows a caller by, so that an operator finds it.
                let caller = hex::encode(spki_sha256);
                tracing::warn!(port = door.port, caller, "a caller gets no more connections but for monitoring");
            }
            (None, Some(reserve.take()))
        }
    };
    let label = PortLabel { port: door.port };
    door.metrics.connections_accepted.get_or_create(&label).inc();
    let connection = Connection {
        stream,
        caller: Caller { spki_sha256, address, monitoring_only: evicted.is_some() },
        evicted,
        silence_max: door.limits.silence_max,
        last_byte: Instant::now(),
        alarm: Box::pin(tokio::time::sleep(door.limits.silence_max)),
        _place: place,
    };
    // Fails only when the port closes.
    let _closed = through.send(Ok(connection)).await;
}

/// A connection's place among those of its port and of its caller; given back on drop.
struct Place {
    door: Arc<Door>,
    caller: SpkiSha256,
    _room: OwnedSemaphorePermit,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The port has as many connections as it may.
    Port(usize),
    /// The caller has.
    Caller(usize),
}

impl Full {
    /// Label of the metric.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Port(_) => "connections_max",
            Self::Caller(_) => "per_caller_max",
        }
    }
}

impl Place {
    fn take(door: &Arc<Door>, caller: SpkiSha256) -> Result<Self, Full> {
        let room = door.room.clone().try_acquire_owned().map_err(|_| Full::Port(door.limits.connections_max))?;
        let mut callers = door.callers.lock();
        let open = callers.entry(caller).or_default();
        if *open >= door.limits.per_caller_max {
            return Err(Full::Caller(*open));
        }
        *open += 1;
        drop(callers);
        door.count().inc();
        Ok(Self { door: door.clone(), caller, _room: room })
    }
}

impl Door {
    /// Tells whether there is room to spare again, in the port and for every caller.
    fn is_relaxed(&self, callers: &HashMap<SpkiSha256, usize>) -> bool {
        let spare = |used: usize, max: usize| used <= max - max.div_ceil(8);
        let used = self.limits.connections_max - self.room.available_permits();
        spare(used, self.limits.connections_max)
            && callers.values().all(|open| spare(*open, self.limits.per_caller_max))
    }

    fn count(&self) -> prometheus_client::metrics::gauge::Gauge {
        let label = PortLabel { port: self.port };
        self.metrics.connections.get_or_create_owned(&label)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = self.door.callers.lock();
        if let Some(open) = callers.get_mut(&self.caller) {
            *open -= 1;
            if *open == 0 {
                callers.remove(&self.caller);
            }
        }
        if let Some(reserve) = &self.door.reserve
            && reserve.is_raised()
            && self.door.is_relaxed(&callers)
        {
            reserve.relax();
        }
        drop(callers);
        self.door.count().dec();
    }
}

/// An established connection: TLS, who called, and an end when it falls silent.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    silence_max: Duration,
    last_byte: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Of the reserve.
    evicted: Option<Evicted>,
    _place: Option<Place>,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.evicted.as_mut().is_some_and(|evicted| evicted.poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Poll::Ready(done) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            this.last_byte = Instant::now();
            return Poll::Ready(done);
        }
        // The alarm is only moved when it rings: a busy connection pays nothing for it.
        while this.alarm.as_mut().poll(cx).is_ready() {
            let due = this.last_byte + this.silence_max;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(n)) if n > 0) {
            this.last_byte = Instant::now();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if matches!(written, Poll::Ready(Ok(n)) if n > 0) {
            this.last_byte = Instant::now();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
