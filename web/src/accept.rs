//! Connections, as many as there is room for.
//!
//! Callers are told apart by their address: an IPv6 network of 64 bits counts as one, because a single household has that many
//! addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The share that one address may have of all places: a quarter.
const SHARE: usize = 4;
/// A log line about connections without a place comes at most this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The number of connections that a port takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    connections_max: usize,
    per_address_max: usize,
}

impl Room {
    /// Room for `connections_max`, of which one address has at most `per_address_max`, and never more than a quarter.
    pub fn new(connections_max: usize, per_address_max: usize) -> Self {
        Self { connections_max, per_address_max: per_address_max.min((connections_max / SHARE).max(1)) }
    }
}

/// Takes connections until `stop` turns true, and hands each to `converse`. Returns when all of them have ended. A connection without
/// a place is closed at once.
pub async fn accept<F, Fut>(listener: TcpListener, room: Room, mut stop: watch::Receiver<bool>, converse: F)
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(room.connections_max));
    let by_address: ByAddress = Arc::default();
    let mut turned_away = TurnedAway::default();
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the caller was gone before it was accepted. Neither ends the port.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            turned_away.count("all places are taken");
            continue;
        };
        let Some(own) = Place::take(&by_address, caller_of(from.ip()), room.per_address_max) else {
            turned_away.count("an address has its share of the places already");
            continue;
        };
        let _nagle_stays = stream.set_nodelay(true);
        let conversation = converse(stream, from);
        open.spawn(async move {
            let _held = (place, own);
            conversation.await;
        });
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Connections that got no place since the last log line.
#[derive(Default)]
struct TurnedAway {
    count: u64,
    last: Option<Instant>,
}

impl TurnedAway {
    fn count(&mut self, why: &str) {
        self.count += 1;
        let now = Instant::now();
        if self.last.is_none_or(|last| now.duration_since(last) >= WARN_EVERY) {
            tracing::warn!(connections = self.count, "connections were closed at once: {why}");
            *self = Self { count: 0, last: Some(now) };
        }
    }
}

/// An address as far as it tells one caller from another.
fn caller_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

type ByAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place among those of its address; given back on drop.
struct Place {
    by_address: ByAddress,
    address: IpAddr,
}

impl Place {
    fn take(by_address: &ByAddress, address: IpAddr, max: usize) -> Option<Self> {
        let mut open = by_address.lock();
        let own = open.entry(address).or_default();
        if *own >= max {
            return None;
        }
        *own += 1;
        drop(open);
        Some(Self { by_address: Arc::clone(by_address), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.by_address.lock();
        if let Some(own) = open.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(false);
        let waits = stopped.clone();
        let port = tokio::spawn(accept(listener, Room::new(8, 256), stopped, move |stream, _| {
            let mut waits = waits.clone();
            async move {
                let _open = (stream, waits.wait_for(|stop| *stop).await.is_ok());
            }
        }));
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(TcpStream::connect(address).await.expect("connected"));
        }
        // Two of eight are this address's: the others were let go at once.
        let mut closed = 0;
        for stream in &mut streams {
            let ended = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
            closed += usize::from(ended.is_ok());
        }
        assert_eq!(closed, 6);
        stop.send(true).expect("someone listens");
        port.await.expect("it ends with its connections");
    }
}
