//! Bodies: bounded in size as they come and as gzip unpacks them, in time, and all together in memory.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::outcome::Issue;
use crate::config::Limits;

/// The memory that all bodies have together, in units of [`UNIT`].
#[derive(Debug, Clone)]
pub struct Room {
    units: Arc<Semaphore>,
}

/// Bytes of one unit.
const UNIT: usize = 4_096;

/// A body of which nothing comes for so long is cut, in milliseconds.
const IDLE_MS_MAX: u64 = 10_000;

/// How long, and how much, is read of a body that was refused.
const DRAIN_MAX: Duration = Duration::from_secs(5);
const DRAIN_IDLE: Duration = Duration::from_millis(500);
const DRAIN_BYTES_MAX: usize = 128 << 20;

/// A body, and its share of the memory: given back on drop.
#[derive(Debug)]
pub struct Held {
    /// The bytes, unpacked.
    pub bytes: Bytes,
    share: Vec<OwnedSemaphorePermit>,
}

impl Held {
    /// Counts more memory: that of what is made of the body.
    ///
    /// # Errors
    /// `503` where there is no more.
    pub fn count(&mut self, room: &Room, bytes: usize) -> Result<(), Answer> {
        room.take(bytes, &mut self.share)
    }
}

impl Room {
    /// For this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { units: Arc::new(Semaphore::new((bytes_max / UNIT).clamp(1, Semaphore::MAX_PERMITS))) }
    }

    fn take(&self, bytes: usize, share: &mut Vec<OwnedSemaphorePermit>) -> Result<(), Answer> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| busy())?;
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| busy())?;
        share.push(permit);
        Ok(())
    }
}

fn busy() -> Answer {
    let why = "too many bodies are being read at once: send this one again in a moment";
    Answer::issue(StatusCode::SERVICE_UNAVAILABLE, Issue::error("throttled", why)).with(header::RETRY_AFTER, "1")
}

fn too_large(max: usize) -> Answer {
    let why = format!("the body is over {max} bytes, as it came or unpacked: send less at once");
    Answer::issue(StatusCode::PAYLOAD_TOO_LARGE, Issue::error("too-long", why))
}

/// Reads a body of at most `max` bytes. A body that is too slow, too large or packed in another way than gzip ends in an answer.
///
/// # Errors
/// The answer.
pub async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    max: usize,
    limits: &Limits,
    room: &Room,
) -> Result<Held, Answer> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim());
    let is_packed = match encoding {
        None | Some("" | "identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(_) => {
            let why = "the Content-Encoding isn't gzip: send the body as it is, or packed with gzip";
            return Err(Answer::issue(StatusCode::UNSUPPORTED_MEDIA_TYPE, Issue::error("not-supported", why)));
        }
    };
    if body.size_hint().lower() > max as u64 {
        drain(body).await;
        return Err(too_large(max));
    }
    let mut share = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    let end = Instant::now() + Duration::from_millis(limits.body_timeout_ms);
    loop {
        let idle = Instant::now() + Duration::from_millis(IDLE_MS_MAX);
        let Ok(frame) = timeout_at(idle.min(end), body.frame()).await else {
            let why = "the body came too slowly, nothing of it was taken: send it again";
            let slow = Answer::issue(StatusCode::REQUEST_TIMEOUT, Issue::error("timeout", why));
            return Err(slow.with(header::CONNECTION, "close"));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Answer::bad("incomplete", "the body ended before its end: send it again"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max {
            drain(body).await;
            return Err(too_large(max));
        }
        room.take(data.len(), &mut share)?;
        bytes.extend_from_slice(&data);
    }
    if !is_packed {
        return Ok(Held { bytes: bytes.into(), share });
    }
    let unpacked = unpack(&bytes, max)?;
    room.take(unpacked.len(), &mut share)?;
    Ok(Held { bytes: unpacked.into(), share })
}

/// Reads and forgets what still comes of a refused body, for a while: a sender that is cut in the middle never reads why.
pub async fn drain(mut body: Incoming) {
    let end = Instant::now() + DRAIN_MAX;
    let mut left = DRAIN_BYTES_MAX;
    loop {
        let idle = Instant::now() + DRAIN_IDLE;
        let Ok(Some(Ok(frame))) = timeout_at(idle.min(end), body.frame()).await else { return };
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

fn unpack(bytes: &[u8], max: usize) -> Result<Vec<u8>, Answer> {
    let mut out = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(max as u64 + 1);
    reader.read_to_end(&mut out).map_err(|_| Answer::bad("structure", "the body isn't whole gzip: pack it again"))?;
    match out.len() <= max {
        true => Ok(out),
        false => Err(too_large(max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    #[test]
    fn gzip_unpacks_to_the_bound_and_not_beyond() {
        let packed = |len: usize| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![b' '; len]).expect("memory");
            encoder.finish().expect("memory")
        };
        assert_eq!(unpack(&packed(1_000), 1_000).expect("fits").len(), 1_000);
        let bomb = packed(50 << 20);
        assert!(bomb.len() < 64 << 10, "it is small as it travels");
        assert_eq!(unpack(&bomb, 1 << 20).expect_err("a bomb").status, StatusCode::PAYLOAD_TOO_LARGE);
        let cut = packed(1_000);
        assert_eq!(unpack(&cut[..cut.len() - 4], 1_000).expect_err("cut").status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn memory_is_given_back() {
        let room = Room::new(2 * UNIT);
        let mut share = Vec::new();
        room.take(UNIT + 1, &mut share).expect("two units");
        assert!(room.take(1, &mut Vec::new()).is_err());
        drop(share);
        room.take(1, &mut Vec::new()).expect("given back");
    }
}
