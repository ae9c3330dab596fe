//! Audit messages over syslog: RFC 5424 in RFC 5425 (TLS), in them the XML of DICOM (PS3.15 A.5) or of RFC 3881.
//!
//! ```text
//! TLS ─▶ frame (how long is a message?) ─▶ header (RFC 5424) ─▶ message (XML) ─▶ event (FHIR AuditEvent) ─▶ a `Feed`
//!            └─▶ quarantine: wrong counts, and what can't be read or mapped, with its bytes
//! ```
//!
//! Syslog gives no acknowledgement: a sender never learns that a message was refused, and what stands in a closed socket is
//! lost. So nothing that arrives whole is dropped: what isn't taken goes to quarantine. Prefer FHIR where you can choose.
//!
//! Where to start reading: [`listen`], then [`event`].

pub mod event;
pub mod frame;
pub mod header;
pub mod listen;
pub mod message;

use base64::Engine as _;
use serde_json::{Value, json};

pub use event::{Settings, Unread};

/// The AuditEvent that a message says, as it came in its frame. The message stands in an extension of it ([`MESSAGE`]), and so in the
/// sealed record, unless it is about several patients or too long.
///
/// # Errors
/// [`Unread`]: the part that can't be read or mapped, and why.
pub fn audit_event(frame: &[u8], settings: &Settings) -> Result<Value, Unread> {
    let header = header::parse(frame)?;
    let message = message::parse(header.content)?;
    let mut event = event::map(&message, header.timestamp, settings)?;
    // Whoever reads the record of one patient may read all of it.
    if event::patients(&message) <= 1 && frame.len() <= KEPT_BYTES_MAX {
        let kept = base64::engine::general_purpose::STANDARD.encode(frame);
        event["extension"] = json!([{ "url": MESSAGE, "valueBase64Binary": kept }]);
    }
    Ok(event)
}

/// The extension that holds a message as it came.
pub const MESSAGE: &str = "https://sillage.example/fhir/StructureDefinition/syslog-message";
/// A longer message isn't kept beside what it says: a record has at most 61,440 bytes.
const KEPT_BYTES_MAX: usize = 16 << 10;
