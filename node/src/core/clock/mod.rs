//! The time of the group: the leader asks everyone's clock, and no node acts on its own alone.
//!
//! ```text
//! leader ── Standing, five times a second ──▶ each node: its clock, signed for this term; the feature level that it knows
//!   └ stamp and a majority's attestations go into every command ─▶ apply: ledger time (docs/formats.md §15)
//! ```
//!
//! A node whose own clock is wrong goes on: it takes the time from the others as long as it hears of them, says that its
//! clock is wrong, and as a leader hands over. Start at [`Clocks::stamp`]; [`ask`] is how the clocks are heard.

pub(super) mod ask;
mod known;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message as _;
use sillage_ledger::{CLOCKS, ClockVoters, LedgerReader, ReadError, Refusal, command_version_max};
use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::PublicKey;
use sillage_proto::internal::v1::{ClockAttestation, ClockEvidence, Command};
use sillage_rules::clock::{CLOCK_LEAD_MS_MAX, ClockMessage, ledger_time};
use sillage_rules::codes::Code;
use sillage_rules::time::TimeMs;

use super::signing::Keys;
use known::{Group, Known};

/// A wall clock in milliseconds since 1970; replaceable, to test clocks that are wrong.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The own attestation is made anew after so long.
const OWN_AGE_MAX: Duration = Duration::from_millis(100);

/// This node's clock and what it should show, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSkew {
    /// The time that it shows.
    pub own_ms: u64,
    /// The middle of the other nodes' clocks, or what the leader takes the group's time to be.
    pub median_ms: u64,
}

/// The leader's word on the time, beside its proposal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stamp {
    /// The feature level.
    pub level: u32,
    /// The leader's time.
    pub ms: u64,
    /// The clocks from which apply takes the time; `None`: time stands still, or the level is below [`CLOCKS`].
    pub evidence: Option<ClockEvidence>,
    /// Ledger time as apply will find it, or a little later.
    pub ledger_ms: u64,
    /// The latest clock that is known of.
    pub latest_ms: u64,
}

impl Stamp {
    /// The command with the time in it, as every node of the group understands it.
    pub fn encode(&self, mut command: Command) -> Vec<u8> {
        if self.level >= CLOCKS {
            command.version = command_version_max(self.level);
            command.time.clone_from(&self.evidence);
        }
        command.encode_to_vec()
    }
}

/// Why there is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStamp {
    /// This node doesn't lead.
    NotLeader,
    /// It has not heard the clocks of a majority yet.
    TooEarly,
}

/// See the module.
pub struct Clocks {
    id: u64,
    wall: WallClock,
    reader: LedgerReader,
    keys: Arc<Keys>,
    /// The term that this node leads.
    led_term: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    known: Mutex<Known>,
    voters: Mutex<Arc<ClockVoters>>,
    own: Mutex<Option<Own>>,
}

/// The own attestation.
#[derive(Clone)]
struct Own {
    term: u64,
    made: Instant,
    key: PublicKey,
    attestation: ClockAttestation,
}

impl Clocks {
    /// Of node `id`, whose own clock is `wall`; `led_term` gives the term that it leads, if it does.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn new(
        id: u64,
        wall: WallClock,
        reader: LedgerReader,
        keys: Arc<Keys>,
        led_term: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Result<Self, ReadError> {
        let voters = Mutex::new(Arc::new(reader.clock_voters()?));
        let (known, own) = Default::default();
        Ok(Self { id, wall, reader, keys, led_term: Box::new(led_term), known, voters, own })
    }

    /// This node's own clock.
    pub fn own_ms(&self) -> u64 {
        (self.wall)()
    }

    /// The time: by this node's clock, or, where that is off and the others' are known, by theirs.
    pub fn now_ms(&self) -> u64 {
        let own_ms = self.own_ms();
        match self.group(own_ms) {
            Some(group) if group.ms.abs_diff(own_ms) > CLOCK_LEAD_MS_MAX => group.ms,
            _ => own_ms,
        }
    }

    /// The latest that it may be by any clock that is known of.
    pub fn latest_ms(&self) -> u64 {
        let own_ms = self.own_ms();
        self.group(own_ms).map_or(own_ms, |group| group.latest_ms.max(own_ms))
    }

    /// The time with which this node cosigns: its own clock, but not later than the group's time allows. A leader that lies can
    /// make it earlier, never later.
    pub fn cosigning_ms(&self) -> u64 {
        let own_ms = self.own_ms();
        self.group(own_ms).map_or(own_ms, |group| own_ms.min(group.ms.saturating_add(CLOCK_LEAD_MS_MAX)))
    }

    /// Both clocks, where this node's own is off.
    pub fn skew(&self) -> Option<ClockSkew> {
        let (own_ms, now) = (self.own_ms(), Instant::now());
        let (low, high) = match (self.led_term)() {
            Some(_) => self.known.lock().others(&self.voters(), now)?.middle_ms,
            None => self.known.lock().told(now).map(|group| (group.ms, group.ms))?,
        };
        let off = own_ms.saturating_add(CLOCK_LEAD_MS_MAX) < low || own_ms > high.saturating_add(CLOCK_LEAD_MS_MAX);
        off.then_some(ClockSkew { own_ms, median_ms: if own_ms < low { low } else { high } })
    }

    /// The refusal of a record that may be ahead of time by one clock and not by another: it is never final.
    pub fn cannot_tell(&self) -> Refusal {
        let (own_ms, now) = (self.own_ms(), Instant::now());
        let mut clocks = format!("node {} shows {}", self.id, TimeMs(own_ms));
        let known = self.known.lock();
        match (self.led_term)() {
            Some(_) => {
                let fresh = known.heard.iter().map(|(node, heard)| (node, heard.attestation.clock_ms));
                for (node, clock_ms) in fresh {
                    clocks.push_str(&format!(", node {node} {}", TimeMs(clock_ms)));
                }
            }
            None => match known.told(now) {
                Some(group) => clocks.push_str(&format!(", the group {}", TimeMs(group.ms))),
                None => clocks.push_str(", and has not heard what the others show"),
            },
        }
        let message = format!(
            "a record is ahead of a node's clock, and that may be wrong ({clocks}). {}",
            Code::ClockSkew.way_out()
        );
        Refusal::new(Code::ClockSkew, message)
    }

    /// Tells whether the group's clocks are known here, or there is no other.
    pub fn knows_group(&self) -> bool {
        self.voters().count() == 1 || self.group(self.own_ms()).is_some()
    }

    /// The time to propose with now, as the leader.
    ///
    /// # Errors
    /// Why there is none.
    pub fn stamp(&self) -> Result<Stamp, NoStamp> {
        let term = (self.led_term)().ok_or(NoStamp::NotLeader)?;
        let (level, before) = (self.reader.feature_level(), self.reader.head().time_ms);
        let (ms, latest_ms) = (self.now_ms(), self.latest_ms());
        if level < CLOCKS {
            let ledger_ms = before.get().max(ms);
            return Ok(Stamp { level, ms, evidence: None, ledger_ms, latest_ms });
        }
        let voters = self.voters();
        let said = self.evidence(&voters, term).ok_or(NoStamp::TooEarly)?;
        let clock_of = |node: u64| said.iter().find(|said| said.node == node).map(|said| said.clock_ms);
        let ledger_ms = ledger_time(LedgerTimeMs(before.get()), ms, voters.majority_ms(clock_of)).get();
        let evidence = Some(known::to_message(ms, said));
        Ok(Stamp { level, ms, evidence, ledger_ms, latest_ms })
    }

    /// The same for what need not know the time: where no majority is known, ledger time stands still.
    pub fn stamp_or_none(&self) -> Stamp {
        self.stamp().unwrap_or_else(|_| Stamp {
            level: self.reader.feature_level(),
            ms: self.now_ms(),
            ..Stamp::default()
        })
    }

    fn evidence(&self, voters: &ClockVoters, term: u64) -> Option<Vec<ClockAttestation>> {
        let own = self.own_attestation(term);
        self.known.lock().evidence(voters, term, (own.key, &own.attestation), Instant::now())
    }

    /// This node's clock, attested for `term` a moment ago.
    fn own_attestation(&self, term: u64) -> Own {
        let mut own = self.own.lock();
        match &*own {
            Some(own) if own.term == term && own.made.elapsed() <= OWN_AGE_MAX => own.clone(),
            _ => {
                let (key, attestation) = self.attest(term);
                own.insert(Own { term, made: Instant::now(), key, attestation }).clone()
            }
        }
    }

    /// Attests this node's clock.
    fn attest(&self, term: u64) -> (PublicKey, ClockAttestation) {
        let key = self.keys.receipts();
        let message = self.message(self.id, term, self.own_ms(), &key.public_key());
        let signature = message.sign(&key);
        self.reader.verified().add(&message.encode(), &signature);
        let attestation = ClockAttestation { node: self.id, clock_ms: message.clock_ms, signature: signature.to_vec() };
        (key.public_key(), attestation)
    }

    fn message(&self, node: u64, term: u64, clock_ms: u64, key: &PublicKey) -> ClockMessage {
        let origin = self.reader.genesis().origin.clone();
        ClockMessage { key_id: key.key_id(), origin, node, term, clock_ms }
    }

    fn group(&self, own_ms: u64) -> Option<Group> {
        let (known, now) = (self.known.lock(), Instant::now());
        match (self.led_term)() {
            Some(_) => known.group(&self.voters(), (self.id, own_ms), now),
            None => known.told(now),
        }
    }

    fn voters(&self) -> Arc<ClockVoters> {
        Arc::clone(&self.voters.lock())
    }

    /// Looks again whose clocks count.
    fn renew_voters(&self) {
        match self.reader.clock_voters() {
            Ok(voters) => *self.voters.lock() = Arc::new(voters),
            Err(error) => tracing::error!(%error, "whose clocks count can't be read"),
        }
    }
}
