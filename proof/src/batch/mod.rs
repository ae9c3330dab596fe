//! A batch: what an author signs once for 1 to 4,096 records, and the receipt that answers it.
//!
//! [`leaf`] says what is signed of each record, [`tree`] holds the batch tree and its proofs, [`message`] the exact bytes
//! that are signed.

pub mod leaf;
pub mod message;
pub mod tree;

pub use leaf::{BatchLeaf, batch_root, hash_batch_leaves};
pub use message::{BatchMessage, MessageError, Origin, OriginError, ReceiptMessage};
pub use tree::{BatchProofError, BatchTree, verify_batch_proof};

/// Most records in one batch.
pub const BATCH_RECORDS_MAX: u32 = 4096;
