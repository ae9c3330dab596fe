//! Sealing: [`Sealer`] seals a batch or a request before it is proposed, opens payloads for whoever may read them
//! ([`crate::EntryReader::open`]), and prepares what an erasure seals anew. It reads the ledger like everybody else.
//!
//! Under it stands the envelope, for every thread that handles keys or payloads: key-encryption keys
//! ([`KekProvider`], [`KekFile`]), data keys, and the byte layouts of `docs/formats.md` §8 ([`layout`]).

mod request;
mod reseal;
mod sealer;

pub use crate::envelope::{
    DataKeyBytes, Fingerprints, HeldEpochs, Judge, KekFile, KekFingerprint, KekProvider, Keyring, KeyringError, Place,
    layout,
};
pub use crate::error::KekError;
pub use crate::schema::TagPrefix;
pub use sealer::{
    DATA_KEYS_CACHED, OpenedEntry, Plain, Randomness, SealError, SealedPayloads, Sealer, SystemRandomness,
};
