//! Why a core doesn't start.

use std::path::PathBuf;

use sillage_cluster::StartError;
use sillage_cluster::identity::DiskError;
use sillage_ledger::seal::KeyringError;
use sillage_ledger::{OpenError, ReadError};

use super::checkpointing::cosign::Unreadable;
use super::disclose::cursor;
use crate::join::JoinError;
use crate::tls::TlsError;

/// Why the core doesn't start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The database.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] StartError),
    /// The disk must not take part.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The way to the peers.
    #[error(transparent)]
    Peers(#[from] TlsError),
    /// The file of what this node has cosigned.
    #[error(transparent)]
    Cosigned(#[from] Unreadable),
    /// The configuration names a witness that can't be one.
    #[error("{0}")]
    Witness(String),
    /// The node's key.
    #[error("{path} isn't the node key of node {id} in this log: is it of another node or log?")]
    NodeKey {
        /// Which file.
        path: PathBuf,
        /// This node.
        id: u64,
    },
    /// The token of a new member.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The certificate.
    #[error("{path} isn't the certificate of node {id} in this log: is it of another node or log?")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// This node.
        id: u64,
    },
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] cursor::CursorKeyError),
    /// The keyring isn't the one that this node had.
    #[error(transparent)]
    OtherKeyring(#[from] KeyringError),
    /// The keyring is of another log.
    #[error(
        "{path} isn't the keyring of this log: none of the data keys in the ledger can be unwrapped with it; give the node the keyring of its own log, from another node or from the backup"
    )]
    ForeignKeyring {
        /// Which file.
        path: PathBuf,
    },
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// A thread.
    #[error("a thread can't be started: {0}")]
    Thread(#[from] std::io::Error),
}
