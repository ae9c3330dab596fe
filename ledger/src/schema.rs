//! The keys under which things are stored. Not a promise: the layout number says which version wrote it.
//!
//! ```text
//! meta     "genesis"                    genesis bytes
//!          "layout"                     u32 layout
//!          "level"                      u32 feature level; absent: 1
//!          "head"                       u64 applied index ‖ u64 term ‖ u64 time_ms ‖ u64 tree size ‖ root[32] ‖
//!                                       u64 last index commit (0: none)
//!          "level"                      u32 feature level; absent: 1
//!          "node_set/" ‖ u64 epoch      rows::NodeSetRow: the set of nodes that an act made
//!          "issuer/" ‖ hash of URL[32]  sillage.v1.IssuerPublished: whose logins prove a will
//! entries  u64 index                    the entry, docs/formats.md §5
//! tiles    u8 level ‖ u64 number        256 hashes; full tiles only, the right edge is made again when opening
//! patient  tag[32] ‖ u64 index          u16 kind ‖ u16 flags
//! payload  u64 index                    sealed payload, or salt ‖ record of an act of the authority
//! datakey  tag[32] ‖ data key id[16]    wrapped data key
//! party    author id[32]                rows::PartyRow
//! key      key id[32]                   rows::KeyRow
//! tls      SHA-256 of the SPKI[32]      author id[32]
//! stream   's' ‖ stream id[32]          rows::StreamRow
//!          'a' ‖ author id[32] ‖ label  stream id[32]
//! batch    stream id[32] ‖ u64 seq      root[32] ‖ u64 first index ‖ u32 count ‖ u64 time_ms
//! signing  u64 node (0: log) ‖ u64      new public key[32] ‖ u64 first index commit after (0: none yet); the second
//!          number of the key is the index of the entry with the act
//! index    ikey[32]                     row hash[32] ‖ the frontier of the patient's tree (rules::index)
//! erase    'i' ‖ u64 index              erasure: u64 erasing entry ‖ u64 time_ms ‖ ground
//!          't' ‖ tag[32] ‖ u64 entry    erasure of all that was recorded of the patient before
//!          'd' ‖ tag[32] ‖ key id[16]   u64 erasing entry: this data key was given up
//!          'w' ‖ tag[32]                ids of the data keys that are to be given up, 16 bytes each
//!          'o' ‖ u16 prefix ‖ u64 entry open erasure: tag[32] ‖ u64 time_ms ‖ u8 keys gone ‖ u32 epoch
//!          'k' ‖ u16 prefix             u32 current epoch ‖ u32 retired epoch ‖ u32 erasures
//! rule     tag[32] ‖ u64 index          u16 kind: what decides, of a patient or (zero tag) for all
//! item     hash of the item's id[32]    tag[32] ‖ u64 index of its first deposit ‖ u64 index of the last one that says what it is,
//!          and 01 where its depositor wrote it again under a tag that may be the same patient's other one
//!          hash of tag and id[32]       u64 index of the last record that did so under this tag
//!          hash of the id[32] ‖ u64     u64 index of the deposit that said what it is before the one at this index did; and the tag
//!                                       of this one, where all before it were voided when it was made
//! glass    'n' ‖ u64 index              consent::register::GlassRow: a break-glass
//!          'i' ‖ hash of tag and id[32] u64 index: the last break-glass of this id
//!          'j' ‖ u64 index              nothing: its justification isn't there yet
//!          'p' ‖ u64 index              author id[32] of the party that opened it, from feature level 3 on
//!          'x' ‖ u64 ms ‖ u64 index     nothing: it ends by itself at this time, and wasn't closed
//! consent  'o' ‖ open tag[32]           secret tag[32] of the same patient, as first seen
//!          's' ‖ secret tag[32]         open tag[32]
//!          'a' ‖ hash of the actor[32]  u64 index: the authority revoked this actor
//!          'q' ‖ u64 ms ‖ request[32]   u64 index, twice where both tags were asked: decided already
//!          and, from feature level 3 on, each behind a byte 03, so that no key of before begins like one of them:
//!          "vouch/" ‖ author id[32]     nothing: the party vouches for this structure (1), system of actors (2) or issuer of
//!          ‖ u8 what ‖ name             logins (3)
//!          "void/" ‖ u64 act            overlay::voids::VoidedRange: what an act voided
//!          "voiding/" ‖ u64 act         u64 act that voided ‖ u64 next entry: patients are still to be told
//!          "voided/" ‖ u64 act ‖ tag    nothing: this patient has a record that the act voids
//!          "concerned/" ‖ u64 act       u64 how many such patients, by tags
//!          "review/" ‖ u64 act ‖ u64    u8 ground: a decision that was made while what the act voids counted
//!          "rule/"                      sillage.v1.AuthorityRule in force
//!          "limit/" ‖ author id[32]     u32 records a day that take access away
//!          "cosigned/" ‖ content[32]    u64 index: the act with further signatures that is recorded
//!          "day/" ‖ u64 day ‖ author id u32 records of this day that take access away; "own-day/": of patients' own devices
//!          from feature level 5 on (consent::doors):
//!          "source/" ‖ id               sillage.v1.ListedSource: a source of the authority's list
//!          "answers/" ‖ structure ‖ 00  author id[32] of the party that answers contests about the structure
//!          ‖ id of the source
//!          "recorded/" ‖ author id[32]  u32 day ‖ u32 day: the last two on which the party recorded (days since 1970, in Paris)
//!          "heartbeat/" ‖ author id[32] HeartbeatRow: the newest of this source of the party
//!          ‖ source
//!          "session/" ‖ session key[32] SessionRow: a login opened it
//!          "session-of/" ‖ portal[32]   nothing: the portal had this session of the patient with this tag
//!          ‖ tag[32] ‖ session key[32]
//!          "session-end/" ‖ u64 ms      nothing: the login is over at this time
//!          ‖ session key[32]
//!          "contest/" ‖ u64 index       ContestRow, by the entry that opened it
//!          "contest-id/" ‖ hash of tag  u64 index: the contest of this id
//!          and id[32]
//!          "contest-of/" ‖ party[32]    nothing: the contest at this index goes to the party
//!          ‖ u64 index
//!          "contest-waits/" ‖ tag[32]   nothing: it is neither answered nor closed
//!          ‖ u64 index
//! ```
//!
//! Hashes of ids are SHA-256 with a prefix of their own (`item_key`, `glass_key`, `request_key`): an id may say something
//! about a person, and nothing that does stands here in clear.

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, StreamId};
use sillage_rules::vouching::Vouched;

/// Layout of the database written by this version.
pub(crate) const LAYOUT: u32 = 5;
/// Length of a patient's tag.
pub(crate) const TAG_LEN: usize = 32;
/// Length of a data key's id.
pub(crate) const DATA_KEY_ID_LEN: usize = 16;

/// The tag of what concerns no patient.
pub(crate) const NO_PATIENT: [u8; TAG_LEN] = [0; TAG_LEN];

/// Key and value of a row of the family `erase`.
pub(crate) type ErasingRow = (Vec<u8>, Vec<u8>);

/// Names a data key.
pub(crate) type DataKeyName = ([u8; TAG_LEN], [u8; DATA_KEY_ID_LEN]);

pub(crate) const META_GENESIS: &[u8] = b"genesis";
pub(crate) const META_LAYOUT: &[u8] = b"layout";
pub(crate) const META_LEVEL: &[u8] = b"level";
/// The first entry that was recorded at the feature level of the doors; a log that began at that level has no such row.
pub(crate) const META_DOORS: &[u8] = b"doors";
pub(crate) const META_HEAD: &[u8] = b"head";
/// The beginning of the keys of sets of nodes. They stand here and not in a family of their own, so that a database of
/// before is opened as it is.
pub(crate) const META_NODE_SET: &[u8] = b"node_set/";

/// The beginning of the keys of issuers of logins; they stand here for the same reason.
pub(crate) const META_ISSUER: &[u8] = b"issuer/";

/// The first 12 bits of a tag: which key-encryption key is in charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagPrefix(u16);

impl TagPrefix {
    /// Number of prefixes.
    pub const COUNT: u16 = 4_096;

    /// The prefix of this number, below 4,096.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The prefix of a tag.
    pub fn of(tag: &[u8; 32]) -> Self {
        Self(u16::from_be_bytes([tag[0], tag[1]]) >> 4)
    }

    /// The number, below 4,096.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A family of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Meta,
    Entries,
    Tiles,
    Patient,
    Payload,
    DataKey,
    Party,
    Key,
    Tls,
    Stream,
    Batch,
    Signing,
    Index,
    Erase,
    Rule,
    Item,
    Glass,
    Consent,
}

impl Family {
    pub(crate) const ALL: [Self; 18] = [
        Self::Meta,
        Self::Entries,
        Self::Tiles,
        Self::Patient,
        Self::Payload,
        Self::DataKey,
        Self::Party,
        Self::Key,
        Self::Tls,
        Self::Stream,
        Self::Batch,
        Self::Signing,
        Self::Index,
        Self::Erase,
        Self::Rule,
        Self::Item,
        Self::Glass,
        Self::Consent,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Entries => "entries",
            Self::Tiles => "tiles",
            Self::Patient => "patient",
            Self::Payload => "payload",
            Self::DataKey => "datakey",
            Self::Party => "party",
            Self::Key => "key",
            Self::Tls => "tls",
            Self::Stream => "stream",
            Self::Batch => "batch",
            Self::Signing => "signing",
            Self::Index => "index",
            Self::Erase => "erase",
            Self::Rule => "rule",
            Self::Item => "item",
            Self::Glass => "glass",
            Self::Consent => "consent",
        }
    }
}

/// Key of entries and payloads.
pub(crate) fn index_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Key of a full tile.
pub(crate) fn tile_key(level: u8, number: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = level;
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Key of a row of the patients' index, or of what decides.
pub(crate) fn patient_key(tag: &[u8; TAG_LEN], index: u64) -> [u8; TAG_LEN + 8] {
    let mut key = [0; TAG_LEN + 8];
    key[..TAG_LEN].copy_from_slice(tag);
    key[TAG_LEN..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Key of a wrapped data key.
pub(crate) fn data_key_key(tag: &[u8; TAG_LEN], id: &[u8; DATA_KEY_ID_LEN]) -> [u8; TAG_LEN + DATA_KEY_ID_LEN] {
    let mut key = [0; TAG_LEN + DATA_KEY_ID_LEN];
    key[..TAG_LEN].copy_from_slice(tag);
    key[TAG_LEN..].copy_from_slice(id);
    key
}

/// Key of a stream's row.
pub(crate) fn stream_key(stream: &StreamId) -> [u8; 33] {
    let mut key = [b's'; 33];
    key[1..].copy_from_slice(stream.as_bytes());
    key
}

/// Key under which an author's streams are listed by label.
pub(crate) fn label_key(author: &AuthorId, label: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(33 + label.len());
    key.push(b'a');
    key.extend_from_slice(author.as_bytes());
    key.extend_from_slice(label.as_bytes());
    key
}

/// Key of the answer to one batch.
pub(crate) fn batch_key(stream: &StreamId, seq: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(stream.as_bytes());
    key[32..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Key of the set of nodes of this epoch.
pub(crate) fn node_set_key(epoch: u64) -> Vec<u8> {
    [META_NODE_SET, &epoch.to_be_bytes()].concat()
}

/// Key of an issuer of logins. `name`: [`crate::apply::will::issuer_name`].
pub(crate) fn issuer_key(name: &Hash) -> Vec<u8> {
    [META_ISSUER, name.as_bytes()].concat()
}

/// The beginnings of the keys of family [`Family::Consent`]. Behind a prefix come bytes that others choose (ids of parties are
/// hashes of keys that anyone makes), and some prefixes are scanned: so none of them begins with another one.
pub(crate) mod consent_prefix {
    pub(crate) const OPEN: &[u8] = b"o";
    pub(crate) const SECRET: &[u8] = b"s";
    pub(crate) const REVOKED_ACTOR: &[u8] = b"a";
    pub(crate) const ASKED: &[u8] = b"q";
    pub(crate) const VOUCHING: &[u8] = b"\x03vouch/";
    pub(crate) const VOID: &[u8] = b"\x03void/";
    pub(crate) const VOIDING: &[u8] = b"\x03voiding/";
    pub(crate) const VOIDED: &[u8] = b"\x03voided/";
    pub(crate) const CONCERNED: &[u8] = b"\x03concerned/";
    pub(crate) const REVIEW: &[u8] = b"\x03review/";
    pub(crate) const RULE: &[u8] = b"\x03rule/";
    pub(crate) const LIMIT: &[u8] = b"\x03limit/";
    pub(crate) const COSIGNED: &[u8] = b"\x03cosigned/";
    pub(crate) const DAY: &[u8] = b"\x03day/";
    pub(crate) const OWN_DAY: &[u8] = b"\x03own-day/";
    pub(crate) const ALONE: &[u8] = b"\x03alone/";
    pub(crate) const DEVICE: &[u8] = b"\x03device/";
    pub(crate) const DEVICE_READ: &[u8] = b"\x03device-read/";
    pub(crate) const SOURCE: &[u8] = b"\x03source/";
    pub(crate) const ANSWERS: &[u8] = b"\x03answers/";
    pub(crate) const RECORDED: &[u8] = b"\x03recorded/";
    pub(crate) const HEARTBEAT: &[u8] = b"\x03heartbeat/";
    pub(crate) const SESSION: &[u8] = b"\x03session/";
    pub(crate) const SESSION_OF: &[u8] = b"\x03session-of/";
    pub(crate) const SESSION_END: &[u8] = b"\x03session-end/";
    pub(crate) const CONTEST: &[u8] = b"\x03contest/";
    pub(crate) const CONTEST_ID: &[u8] = b"\x03contest-id/";
    pub(crate) const CONTEST_OF: &[u8] = b"\x03contest-of/";
    pub(crate) const CONTEST_WAITS: &[u8] = b"\x03contest-waits/";

    /// All of them. Whoever adds one adds it here.
    #[cfg(test)]
    pub(crate) const ALL: [&[u8]; 29] = [
        OPEN,
        SECRET,
        REVOKED_ACTOR,
        ASKED,
        VOUCHING,
        VOID,
        VOIDING,
        VOIDED,
        CONCERNED,
        REVIEW,
        RULE,
        LIMIT,
        COSIGNED,
        DAY,
        OWN_DAY,
        ALONE,
        DEVICE,
        DEVICE_READ,
        SOURCE,
        ANSWERS,
        RECORDED,
        HEARTBEAT,
        SESSION,
        SESSION_OF,
        SESSION_END,
        CONTEST,
        CONTEST_ID,
        CONTEST_OF,
        CONTEST_WAITS,
    ];
}

/// Key of the row that says that the actor of this hash is revoked.
pub(crate) fn actor_key(actor: &Hash) -> [u8; 33] {
    let mut key = [consent_prefix::REVOKED_ACTOR[0]; 33];
    key[1..].copy_from_slice(actor.as_bytes());
    key
}

/// The key of a row that says for whom a party vouches.
pub(crate) fn vouching_key(author: &AuthorId, what: Vouched, name: &str) -> Vec<u8> {
    [consent_prefix::VOUCHING, author.as_bytes(), &[what.code()], name.as_bytes()].concat()
}

/// The state after the last command applied: written with it, in the same atomic write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub applied_index: u64,
    pub applied_term: u64,
    pub time: LedgerTimeMs,
    pub size: u64,
    pub root: Hash,
    /// The last index commit.
    pub commit: Option<LeafIndex>,
}

impl HeadRow {
    pub(crate) fn encode(&self) -> [u8; 72] {
        let mut out = [0; 72];
        out[..8].copy_from_slice(&self.applied_index.to_be_bytes());
        out[8..16].copy_from_slice(&self.applied_term.to_be_bytes());
        out[16..24].copy_from_slice(&self.time.get().to_be_bytes());
        out[24..32].copy_from_slice(&self.size.to_be_bytes());
        out[32..64].copy_from_slice(self.root.as_bytes());
        out[64..].copy_from_slice(&commit_number(self.commit).to_be_bytes());
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let row = Self {
            applied_index: take_u64(&mut bytes)?,
            applied_term: take_u64(&mut bytes)?,
            time: LedgerTimeMs(take_u64(&mut bytes)?),
            size: take_u64(&mut bytes)?,
            root: Hash::from(take::<32>(&mut bytes)?),
            commit: commit_index(take_u64(&mut bytes)?),
        };
        bytes.is_empty().then_some(row)
    }
}

/// Entry 0 is the genesis, so 0 stands for no index commit.
pub(crate) fn commit_number(commit: Option<LeafIndex>) -> u64 {
    commit.map_or(0, LeafIndex::get)
}

pub(crate) fn commit_index(number: u64) -> Option<LeafIndex> {
    (number != 0).then_some(LeafIndex(number))
}

/// Names the replacement of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SigningName {
    /// The node; 0: the log itself.
    pub node: u64,
    /// The entry with the act.
    pub index: LeafIndex,
}

impl SigningName {
    pub(crate) fn encode(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.node.to_be_bytes());
        out[8..].copy_from_slice(&self.index.get().to_be_bytes());
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let name = Self { node: take_u64(&mut bytes)?, index: LeafIndex(take_u64(&mut bytes)?) };
        bytes.is_empty().then_some(name)
    }
}

/// The replacement of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SigningRow {
    pub public_key: [u8; 32],
    /// The first index commit after the act: the last one whose checkpoint the old key signs.
    pub covered_by: Option<LeafIndex>,
}

impl SigningRow {
    pub(crate) fn encode(&self) -> [u8; 40] {
        let mut out = [0; 40];
        out[..32].copy_from_slice(&self.public_key);
        out[32..].copy_from_slice(&commit_number(self.covered_by).to_be_bytes());
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let row = Self { public_key: take(&mut bytes)?, covered_by: commit_index(take_u64(&mut bytes)?) };
        bytes.is_empty().then_some(row)
    }
}

/// The answer that a batch was given, kept for retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub root: Hash,
    pub first_index: LeafIndex,
    pub count: u32,
    pub time: LedgerTimeMs,
}

impl BatchRow {
    pub(crate) fn encode(&self) -> [u8; 52] {
        let mut out = [0; 52];
        out[..32].copy_from_slice(self.root.as_bytes());
        out[32..40].copy_from_slice(&self.first_index.get().to_be_bytes());
        out[40..44].copy_from_slice(&self.count.to_be_bytes());
        out[44..].copy_from_slice(&self.time.get().to_be_bytes());
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let row = Self {
            root: Hash::from(take::<32>(&mut bytes)?),
            first_index: LeafIndex(take_u64(&mut bytes)?),
            count: u32::from_be_bytes(take(&mut bytes)?),
            time: LedgerTimeMs(take_u64(&mut bytes)?),
        };
        bytes.is_empty().then_some(row)
    }
}

/// Value of a row of the patients' index.
pub(crate) fn patient_row(kind: u16, flags: u16) -> [u8; 4] {
    let [k1, k0] = kind.to_be_bytes();
    let [f1, f0] = flags.to_be_bytes();
    [k1, k0, f1, f0]
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_written_and_only_whole() {
        let head = HeadRow {
            applied_index: 7,
            applied_term: 3,
            time: LedgerTimeMs(11),
            size: 5,
            root: Hash::from([9; 32]),
            commit: Some(LeafIndex(4)),
        };
        assert_eq!(HeadRow::decode(&head.encode()), Some(head));
        let batch = BatchRow { root: Hash::from([1; 32]), first_index: LeafIndex(2), count: 3, time: LedgerTimeMs(4) };
        assert_eq!(BatchRow::decode(&batch.encode()), Some(batch));
        let name = SigningName { node: 3, index: LeafIndex(8) };
        assert_eq!(SigningName::decode(&name.encode()), Some(name));
        for covered_by in [None, Some(LeafIndex(9))] {
            let row = SigningRow { public_key: [4; 32], covered_by };
            assert_eq!(SigningRow::decode(&row.encode()), Some(row));
        }
        for end in 0..52 {
            assert_eq!(BatchRow::decode(&batch.encode()[..end]), None);
            assert_eq!(HeadRow::decode(&head.encode()[..end]), None);
        }
        let mut long = head.encode().to_vec();
        long.push(0);
        assert_eq!(HeadRow::decode(&long), None);
    }

    /// A party's id is the hash of a key that anyone makes: it may begin with any few bytes.
    #[test]
    fn no_prefix_of_the_family_consent_begins_with_another() {
        let all = consent_prefix::ALL;
        for (at, one) in all.iter().enumerate() {
            assert!(!one.is_empty());
            for (other_at, other) in all.iter().enumerate() {
                assert!(at == other_at || !one.starts_with(other), "{one:?} begins with {other:?}");
            }
        }
        for begin in [&b"oid/"[..], b"oiding/", b"oided/"] {
            let mut id = [0x5a; 32];
            id[..begin.len()].copy_from_slice(begin);
            let key = vouching_key(&AuthorId::from_bytes(id), Vouched::Structure, "690000120");
            let others = all.iter().filter(|other| key.starts_with(other));
            assert_eq!(others.collect::<Vec<_>>(), [&consent_prefix::VOUCHING]);
        }
    }

    #[test]
    fn keys_of_one_patient_sort_by_index() {
        let tag = [5; TAG_LEN];
        assert!(patient_key(&tag, 255) < patient_key(&tag, 256));
        assert!(tile_key(0, 255) < tile_key(0, 256));
    }
}
