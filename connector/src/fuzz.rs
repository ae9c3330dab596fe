//! Fuzz targets: what comes over the feeds. None may panic.

use crate::adt;
use crate::identifiers;
use crate::syslog::frame::{Frames, Next};
use crate::syslog::{Settings, audit_event};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] =
    &[("syslog_frames", fuzz_frames), ("syslog_message", fuzz_message), ("mllp", fuzz_mllp), ("hl7", fuzz_hl7)];

/// Frames of syslog, in pieces: no byte comes out twice.
pub fn fuzz_frames(data: &[u8]) {
    for resync in [false, true] {
        let mut frames = Frames::new(resync);
        let mut bytes = 0;
        'stream: for piece in data.chunks(13) {
            frames.push(piece);
            loop {
                match frames.next(false) {
                    Next::Message { bytes: message, .. } | Next::Skipped(message) => bytes += message.len(),
                    Next::Wrong { bytes: rest, .. } => {
                        bytes += rest.len();
                        break 'stream;
                    }
                    Next::More => break,
                }
            }
        }
        assert!(bytes <= data.len());
    }
}

/// Messages of syslog.
pub fn fuzz_message(data: &[u8]) {
    if let Ok(event) = audit_event(data, &Settings::default()) {
        assert_eq!(event["resourceType"], "AuditEvent");
    }
    let _read = identifiers::parse(&String::from_utf8_lossy(data));
}

/// Frames of HL7 v2.
pub fn fuzz_mllp(data: &[u8]) {
    let mut frames = adt::mllp::Frames::default();
    for piece in data.chunks(13) {
        frames.push(piece);
        while let Ok(Some(_)) = frames.next() {}
    }
}

/// Messages of HL7 v2.
pub fn fuzz_hl7(data: &[u8]) {
    if let Ok(message) = adt::hl7::Message::parse(data) {
        let _records = adt::records(&message, &adt::Mapping::example(), 1_772_442_000_000);
    }
}
