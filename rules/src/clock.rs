//! Ledger time, by the clocks of a majority: a leader alone can't move it.
//!
//! A node attests what its clock shows, to the leader of one Raft term. The leader puts the attestations of a majority
//! beside its own stamp, and every node computes the same ledger time from them ([`ledger_time`]). Integers are big-endian.
//!
//! ```text
//! clock "sillage/clock/v1\0" ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ u64 node ‖ u64 term ‖ u64 clock_ms
//! ```
//!
//! The term is signed so that a clock that was wrong once can't be quoted for ever: only the leader of that term can use
//! what it was told, and only for what it proposes itself.

use sillage_proof::batch::Origin;
use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::{KeyId, PublicKey, SIGNATURE_LEN, SignatureError, SigningKey};

use crate::decide::message::begin;

const CLOCK_MAGIC: &[u8] = b"sillage/clock/v1\0";

/// How far ledger time may be ahead of the clock that a majority has reached, in milliseconds: the age of an attestation,
/// and what honest clocks differ by.
pub const CLOCK_LEAD_MS_MAX: u64 = 500;

/// The message that a node signs: my clock shows this, in this term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockMessage {
    /// The node's key that signs.
    pub key_id: KeyId,
    /// The log it is for.
    pub origin: Origin,
    /// The node.
    pub node: u64,
    /// The Raft term that the node is in.
    pub term: u64,
    /// Its clock, in milliseconds since 1970.
    pub clock_ms: u64,
}

impl ClockMessage {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(CLOCK_MAGIC, &self.key_id, &self.origin);
        out.extend_from_slice(&self.node.to_be_bytes());
        out.extend_from_slice(&self.term.to_be_bytes());
        out.extend_from_slice(&self.clock_ms.to_be_bytes());
        out
    }

    /// Signs. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        assert_eq!(self.key_id, key.key_id(), "the message names its signer");
        key.sign(&self.encode())
    }

    /// Verifies a node's signature.
    ///
    /// # Errors
    /// When `key` isn't the one named, or the signature doesn't match.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
        if self.key_id != key.key_id() {
            return Err(SignatureError);
        }
        key.verify(&self.encode(), signature)
    }
}

/// The latest time in milliseconds that a majority of `voters` says it has reached; `None` where fewer than a majority say
/// anything. `clock_of` gives the clock that a voter is known to have attested. Leaving attestations out only makes it
/// earlier, so it is never later than the median of all the voters' clocks.
pub fn majority_clock_ms(voters: &[u64], clock_of: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let mut clocks: Vec<u64> = voters.iter().filter_map(|voter| clock_of(*voter)).collect();
    clocks.sort_unstable_by_key(|clock| std::cmp::Reverse(*clock));
    clocks.get(voters.len() / 2).copied()
}

/// The ledger time of a command: the leader's stamp, but at most [`CLOCK_LEAD_MS_MAX`] after `majority_ms`
/// ([`majority_clock_ms`]; in a joint step the earlier of both), and never before `previous`. Without a majority's clocks,
/// time stands still. All in milliseconds since 1970.
pub fn ledger_time(previous: LedgerTimeMs, stamp_ms: u64, majority_ms: Option<u64>) -> LedgerTimeMs {
    let Some(majority_ms) = majority_ms else {
        return previous;
    };
    let latest_ms = majority_ms.saturating_add(CLOCK_LEAD_MS_MAX);
    previous.max(LedgerTimeMs(stamp_ms.min(latest_ms)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(key: &SigningKey) -> ClockMessage {
        let origin = Origin::new("ledger.example/log1").expect("an origin");
        ClockMessage { key_id: key.key_id(), origin, node: 2, term: 7, clock_ms: 1_780_000_000_000 }
    }

    #[test]
    fn a_clock_is_attested_for_one_log_node_and_term() {
        let key = SigningKey::from_seed(&[3; 32]);
        let signed = message(&key);
        let signature = signed.sign(&key);
        assert!(signed.verify(&key.public_key(), &signature).is_ok());
        let others = [
            ClockMessage { origin: Origin::new("ledger.example/log2").expect("an origin"), ..signed.clone() },
            ClockMessage { node: 3, ..signed.clone() },
            ClockMessage { term: 8, ..signed.clone() },
            ClockMessage { clock_ms: 1_780_000_000_001, ..signed.clone() },
        ];
        for other in others {
            assert!(other.verify(&key.public_key(), &signature).is_err(), "{other:?}");
        }
        let stranger = SigningKey::from_seed(&[4; 32]);
        assert!(signed.verify(&stranger.public_key(), &signature).is_err());
    }

    #[test]
    fn time_follows_the_stamp_as_far_as_a_majority_goes() {
        let clocks =
            |known: &'static [(u64, u64)]| move |voter| known.iter().find(|(id, _)| *id == voter).map(|(_, ms)| *ms);
        let voters = [1, 2, 3];
        assert_eq!(majority_clock_ms(&voters, clocks(&[(1, 1_000), (2, 2_000), (3, 9_000)])), Some(2_000));
        assert_eq!(majority_clock_ms(&voters, clocks(&[(1, 1_000), (3, 9_000)])), Some(1_000), "one is away");
        assert_eq!(majority_clock_ms(&voters, clocks(&[(3, 9_000), (4, 9_000)])), None, "a stranger doesn't count");
        assert_eq!(majority_clock_ms(&[], clocks(&[])), None);
        let previous = LedgerTimeMs(1_500);
        assert_eq!(ledger_time(previous, 2_100, Some(2_000)), LedgerTimeMs(2_100));
        assert_eq!(ledger_time(previous, 9_000, Some(2_000)), LedgerTimeMs(2_500), "beyond is cut off");
        assert_eq!(ledger_time(previous, 9_000, Some(u64::MAX)), LedgerTimeMs(9_000));
        assert_eq!(ledger_time(previous, 1_000, Some(2_000)), previous, "never back");
        assert_eq!(ledger_time(previous, 9_000, None), previous, "no majority, no time");
    }

    /// A group: honest clocks around a moment, and a minority that says anything.
    fn group() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
        (1_usize..=9).prop_flat_map(|nodes| {
            (0..=(nodes - 1) / 2).prop_flat_map(move |liars| {
                let honest = proptest::collection::vec(1_000_000_u64..1_001_000, nodes - liars);
                let lying = proptest::collection::vec(prop_oneof![any::<u64>(), 0_u64..2_000_000], liars);
                (honest, lying)
            })
        })
    }

    proptest! {
        /// The leader lies too: it stamps what it wants, and leaves out whom it wants.
        #[test]
        fn a_minority_of_lying_clocks_and_a_lying_leader_move_time_no_further(
            (honest, lying) in group(), shown: u16, stamp: u64, previous in 0_u64..1_100_000,
        ) {
            let clocks: Vec<u64> = honest.iter().chain(&lying).copied().collect();
            let voters: Vec<u64> = (0..clocks.len() as u64).collect();
            let clock_of = |voter: u64| (shown >> voter & 1 == 1).then(|| clocks[voter as usize]);
            let time = ledger_time(LedgerTimeMs(previous), stamp, majority_clock_ms(&voters, clock_of)).get();
            prop_assert!(time >= previous, "time never goes back");
            let mut sorted = clocks.clone();
            sorted.sort_unstable();
            let median = sorted[(sorted.len() - 1) / 2];
            prop_assert!(time <= previous.max(median.saturating_add(CLOCK_LEAD_MS_MAX)), "no further than the median");
            let latest = honest.iter().max().expect("a majority is honest");
            prop_assert!(time <= previous.max(latest + CLOCK_LEAD_MS_MAX), "no further than an honest clock");
        }

        /// With an honest leader time goes on, whatever a minority says or doesn't say.
        #[test]
        fn a_minority_can_not_stop_time((honest, lying) in group(), silent: bool, previous in 0_u64..999_000) {
            let clocks: Vec<u64> = honest.iter().chain(&lying).copied().collect();
            let voters: Vec<u64> = (0..clocks.len() as u64).collect();
            let clock_of = |voter: u64| (!silent || (voter as usize) < honest.len()).then(|| clocks[voter as usize]);
            let stamp = *honest.iter().min().expect("a majority is honest");
            let time = ledger_time(LedgerTimeMs(previous), stamp, majority_clock_ms(&voters, clock_of));
            prop_assert_eq!(time.get(), stamp);
        }
    }
}
