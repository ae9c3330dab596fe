//! SHA-256 and the domain-separated hashes of RFC 6962 §2.1.
//!
//! Every hash of a tree goes through [`hash_leaves`], [`hash_nodes`] and [`hash_many`], which take many independent messages a call:
//! a multi-buffer kernel (one SHA-256 per SIMD lane) can replace their bodies without touching a caller.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Prefix of a leaf's preimage (RFC 6962 §2.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
/// Prefix of an inner node's preimage (RFC 6962 §2.1).
const NODE_PREFIX: [u8; 1] = [0x01];

/// A hash or id isn't 64 hexadecimal characters (32 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 bytes as 64 hexadecimal characters")]
pub struct ParseHashError;

/// Implements what every 32-byte id shares: bytes in and out, lower-case hexadecimal on screens and in JSON.
macro_rules! hex32 {
    ($name:ident) => {
        impl $name {
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 32 bytes, by value.
            pub const fn to_bytes(self) -> [u8; 32] {
                self.0
            }

            /// Wraps 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Wraps a slice.
            ///
            /// # Errors
            /// When the slice isn't 32 bytes long.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, $crate::hash::ParseHashError> {
                bytes.try_into().map(Self).map_err(|_| $crate::hash::ParseHashError)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for [u8; 32] {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = $crate::hash::ParseHashError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                Self::from_slice(bytes)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::hash::ParseHashError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0_u8; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| $crate::hash::ParseHashError)?;
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use hex32;

/// A SHA-256 output: a leaf hash, an inner node, a root, a record hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash([u8; 32]);
hex32!(Hash);

impl Hash {
    /// Length of a hash, in bytes.
    pub const LEN: usize = 32;
}

/// Implements a `u64` newtype: the number in and out, decimal on screens and in JSON.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number! {
    /// Position of an entry in the log, from 0.
    LeafIndex
}
number! {
    /// Number of entries in the log.
    TreeSize
}
number! {
    /// Ledger time: milliseconds since 1970-01-01T00:00:00Z, never decreasing along the log.
    LedgerTimeMs
}

/// SHA-256 of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// Hashes many whole messages: appends `H(input)` for each of `inputs` to `out`, in order.
pub fn hash_many(inputs: &[&[u8]], out: &mut Vec<Hash>) {
    out.extend(inputs.iter().map(|input| sha256(&[input])));
}

/// Hashes many leaves: appends `H(0x00 ‖ input)` for each of `inputs` to `out`, in order (RFC 6962 §2.1).
pub fn hash_leaves(inputs: &[&[u8]], out: &mut Vec<Hash>) {
    out.extend(inputs.iter().map(|input| sha256(&[&LEAF_PREFIX[..], input])));
}

/// Hashes many inner nodes: appends `H(0x01 ‖ left ‖ right)` for each of `pairs` to `out`, in order (RFC 6962 §2.1).
pub fn hash_nodes(pairs: &[[Hash; 2]], out: &mut Vec<Hash>) {
    out.extend(pairs.iter().map(|[left, right]| {
        // One contiguous block is faster than three updates.
        let mut block = [0_u8; 65];
        block[0] = NODE_PREFIX[0];
        block[1..33].copy_from_slice(&left.0);
        block[33..].copy_from_slice(&right.0);
        Hash(Sha256::digest(block).into())
    }));
}

/// Hash of one leaf: `H(0x00 ‖ data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&LEAF_PREFIX, data])
}

/// Hash of one leaf in two parts: `H(0x00 ‖ a ‖ b)`; a salted record is `leaf_hash2(salt, record)`.
pub fn leaf_hash2(a: &[u8], b: &[u8]) -> Hash {
    sha256(&[&LEAF_PREFIX, a, b])
}

/// Hash of one inner node: `H(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut out = Vec::with_capacity(1);
    hash_nodes(&[[*left, *right]], &mut out);
    out[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_interface_agrees_with_the_definitions() {
        let inputs: [&[u8]; 3] = [b"", b"a", b"bc"];
        let mut leaves = Vec::new();
        hash_leaves(&inputs, &mut leaves);
        for (input, leaf) in inputs.iter().zip(&leaves) {
            assert_eq!(*leaf, sha256(&[&[0], input]));
            assert_eq!(*leaf, leaf_hash(input));
        }
        assert_eq!(leaf_hash2(b"b", b"c"), leaves[2]);
        let mut whole = Vec::new();
        hash_many(&[b"ab", b""], &mut whole);
        assert_eq!(whole, [sha256(&[b"a", b"b"]), sha256(&[])]);
        let node = sha256(&[&[1], leaves[0].as_ref(), leaves[1].as_ref()]);
        assert_eq!(node_hash(&leaves[0], &leaves[1]), node);
    }

    #[test]
    fn the_empty_leaf_is_the_published_one() {
        // RFC 6962 leaf hash of the empty string, as in the Certificate Transparency test data.
        let text = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(leaf_hash(b"")));
    }

    #[test]
    fn text_that_is_not_32_bytes_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            assert_eq!(text.parse::<Hash>(), Err(ParseHashError), "{text:?}");
        }
        assert!(serde_json::from_str::<Hash>("\"zz\"").is_err());
        let hash = leaf_hash(b"x");
        let json = serde_json::to_string(&hash).expect("a hash is a string");
        assert_eq!(serde_json::from_str::<Hash>(&json).expect("own JSON"), hash);
    }
}
