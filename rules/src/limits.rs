//! How large things may be. Every list, text and depth that reaches the ledger has a bound here, so that no caller can
//! make a node work or remember without end. Bytes unless the name says otherwise.

/// A record in its protobuf encoding: 60 KiB.
pub const RECORD_BYTES_MAX: usize = 61_440;
/// Records and salts of one batch: 8 MiB.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records of one batch.
pub const BATCH_RECORDS_MAX: usize = 4_096;
/// The salt of a record.
pub const SALT_BYTES: usize = 16;
/// The label of a stream.
pub const STREAM_LABEL_BYTES_MAX: usize = 64;
/// How far ahead of the ledger's clock a record may say it happened: 5 minutes, in milliseconds.
pub const FUTURE_MS_MAX: u64 = 300_000;
/// The last moment a record may name: the end of the year 9998 (every calendar library can still print it).
pub const OCCURRED_AT_MS_MAX: u64 = 253_370_764_799_999;

/// Items of one record.
pub const ITEMS_MAX: usize = 1_024;
/// Items that one call asks for, or that its records deposit, change, embargo or release: each is looked up when it is
/// applied.
pub const CALL_ITEMS_MAX: usize = 16_384;
/// Labels of one item.
pub const ITEM_LABELS_MAX: usize = 64;
/// Other participants of one record.
pub const AGENTS_MAX: usize = 64;
/// Correlation ids of one record.
pub const CORRELATION_IDS_MAX: usize = 16;
/// Certificates of one party, as hashes of their public keys.
pub const TLS_SPKI_MAX: usize = 16;

/// Keys of one issuer of logins: those in use, and those that take their place.
pub const ISSUER_KEYS_MAX: usize = 8;
/// Values of `acr` of one level of an issuer; below feature level 4, its clients too.
pub const ISSUER_LIST_MAX: usize = 16;
/// Clients of one issuer: Pro Santé Connect gives each software its own.
pub const ISSUER_AUDIENCES_MAX: usize = 1_024;
/// Issuers of one log.
pub const ISSUERS_MAX: usize = 64;

/// Nodes of one set, learners included: a checkpoint carries at most 100 signatures, and those of witnesses need room.
pub const NODES_MAX: usize = 32;
/// The name of a node.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// Where a node is called: a host name has at most 253 characters, a port 5.
pub const ADDRESS_BYTES_MAX: usize = 260;

/// Keys of one party in its life: each replacement costs as much as it had before.
pub const PARTY_KEYS_MAX: usize = 1_024;

/// Structures for which the actors of one party may act.
pub const VOUCHED_STRUCTURES_MAX: u32 = 4_096;
/// Systems that name the actors of one party; issuers of the logins that it relays.
pub const VOUCHED_OTHERS_MAX: u32 = 64;
/// The name of a structure, of a system of actors or of an issuer that a party vouches for.
pub const VOUCHED_BYTES_MAX: usize = 256;

/// Acts in force that void records: each is asked about whenever a state is folded.
pub const VOIDINGS_MAX: usize = 256;
/// Authorities of a rule, and further signatures of one act.
pub const AUTHORITIES_MAX: usize = 16;
/// How long the signature of a further authority holds at most: 30 days, in milliseconds.
pub const ACT_SIGNATURE_MS_MAX: u64 = 30 * 86_400_000;

/// A code from a vocabulary: purpose, role, category, type, method.
pub const TOKEN_BYTES_MAX: usize = 128;
/// An identifier, the URI of its system, a reference.
pub const ID_BYTES_MAX: usize = 1_024;
/// A name as a person reads it.
pub const LABEL_BYTES_MAX: usize = 512;
/// A text that a person wrote: a reason, the description of an outcome.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// The details of a record, as JSON: 16 KiB.
pub const DETAILS_BYTES_MAX: usize = 16 * 1_024;
/// Objects and arrays inside each other in the details; the object itself counts as 1.
pub const DETAILS_DEPTH_MAX: usize = 16;
/// The name of a party.
pub const PARTY_NAME_BYTES_MAX: usize = 200;
/// A line of a record file. A record of the greatest size fits, escapes included.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// The body of a ledger event in an entry: an entry must fit the two length bytes of a C2SP entry bundle.
pub const EVENT_BODY_BYTES_MAX: usize = 65_535 - 20 - 2 - 4;

/// Most records that one act erases.
pub const ERASED_INDICES_MAX: usize = 1_024;
/// Age from which a payload may be erased with the ground [`RETENTION`]: three years, leap days included, in milliseconds
/// (Regulation (EU) 2025/327: access logs are kept for at least three years).
pub const ERASE_RETENTION_MIN_MS: u64 = 1_096 * 86_400_000;
/// The ground of an erasure because the time of keeping has passed: its first word.
pub const RETENTION: &str = "RETENTION";

/// Largest depth of the patient index: its tree is kept in memory, and 2^26 buckets take 4 GiB.
pub const INDEX_DEPTH_MAX: u8 = 26;
/// Most rows of one bucket that a proof shows: an index of a fitting depth has a few, a test log of depth 0 has all.
pub const BUCKET_ROWS_MAX: usize = 1 << 16;
