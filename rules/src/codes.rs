//! The stable error codes: what went wrong, whether to try again, and the way out.
//!
//! A code never changes its meaning. `docs/errors.md` is the same table for people; a test keeps them equal.

use std::fmt;

/// The advice to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same request may succeed later, here or at another node.
    Retry,
    /// The same request will be refused again: change it first.
    Reject,
    /// A node or a log is broken: an operator has to act.
    Fatal,
}

impl Class {
    /// The class's name, as in `docs/errors.md`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Fatal => "fatal",
        }
    }
}

/// gRPC status numbers that codes map to (`google.rpc.Code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Grpc {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

macro_rules! codes {
    ($($variant:ident $name:literal $class:ident $grpc:ident $exit:literal $way_out:literal;)*) => {
        /// A stable error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $way_out] $variant,)*
        }

        impl Code {
            /// Every code, in the order of `docs/errors.md`.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as it travels: SCREAMING_SNAKE_CASE.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The advice to the caller.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// The gRPC status that carries it.
            pub const fn grpc(self) -> Grpc {
                match self { $(Self::$variant => Grpc::$grpc,)* }
            }

            /// Exit code of the command line: 1 a check failed, 2 usage, 3 unavailable, 4 rejected.
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$variant => $exit,)* }
            }

            /// The way out, in one sentence.
            pub const fn way_out(self) -> &'static str {
                match self { $(Self::$variant => $way_out,)* }
            }
        }
    };
}

codes! {
    MalformedRequest "MALFORMED_REQUEST" Reject InvalidArgument 4
        "The request isn't the protobuf message or hasn't the fields that this call takes: correct the caller.";
    InvalidUtf8 "INVALID_UTF8" Reject InvalidArgument 4
        "A text isn't UTF-8: encode it as UTF-8 and sign again.";
    MalformedRecord "MALFORMED_RECORD" Reject InvalidArgument 4
        "A record isn't in canonical encoding or a field of it can't be understood: correct the field that is named.";
    UnknownKind "UNKNOWN_KIND" Reject InvalidArgument 4
        "No kind has this name or number: take one of docs/formats.md §2.";
    KindReserved "KIND_RESERVED" Reject PermissionDenied 4
        "Records of this kind are made by the ledger alone: don't submit them.";
    ActorReserved "ACTOR_RESERVED" Reject PermissionDenied 4
        "The record names its actor as the ledger names itself and its parties (urn:sillage:author): name the professional, the person or the software that acted.";
    RecordTooLarge "RECORD_TOO_LARGE" Reject InvalidArgument 4
        "A record is over 61,440 bytes: send less of the original or fewer items in one record.";
    EmptyBatch "EMPTY_BATCH" Reject InvalidArgument 4
        "The batch has no record: a batch holds 1 to 4,096.";
    TooManyRecords "TOO_MANY_RECORDS" Reject InvalidArgument 4
        "The batch has more than 4,096 records: split it.";
    BatchTooLarge "BATCH_TOO_LARGE" Reject InvalidArgument 4
        "The batch is over 8 MiB, or its records deposit, change, embargo and release over 16,384 items: split it.";
    InvalidStreamLabel "INVALID_STREAM_LABEL" Reject InvalidArgument 4
        "A stream label is 1 to 64 characters of a-z, 0-9, '.', '_' and '-'.";
    UnknownKey "UNKNOWN_KEY" Reject PermissionDenied 4
        "The signing key isn't registered in this log: ask the authority to register it, or check which log this is.";
    RevokedKey "REVOKED_KEY" Reject PermissionDenied 4
        "The signing key was revoked or replaced: sign with the author's current key.";
    BadSignature "BAD_SIGNATURE" Reject PermissionDenied 4
        "The signature doesn't match the batch message: sign the message of docs/formats.md §3 for this log's origin.";
    RootMismatch "ROOT_MISMATCH" Reject InvalidArgument 4
        "The records don't hash to the signed root: a record or salt was altered after it was signed, send what was signed.";
    SequenceReused "SEQUENCE_REUSED" Reject AlreadyExists 4
        "Another batch is on record under this number of the stream: find out why, both are evidence, then ask `stream status` for the next number.";
    OutOfOrder "OUT_OF_ORDER" Reject FailedPrecondition 4
        "The batch isn't the next one of its stream: send the one that is expected first.";
    TimeAhead "TIME_AHEAD" Reject FailedPrecondition 4
        "A record says that it happened more than 5 minutes from now: set the author's clock.";
    ClockSkew "CLOCK_SKEW" Retry Unavailable 3
        "The clocks of the nodes differ, so that nobody can tell what time it is: set the one that is wrong, then send the same request again.";
    InvalidIns "INVALID_INS" Reject InvalidArgument 4
        "This isn't an INS: 15 characters with its key, and its OID.";
    TestInsRefused "TEST_INS_REFUSED" Reject FailedPrecondition 4
        "Test and demonstration identities are accepted by test logs only: use the patient's real INS.";
    InvalidIdentifier "INVALID_IDENTIFIER" Reject InvalidArgument 4
        "This isn't an identifier of the system that it names: correct the identifier or the system.";
    InvalidSpelling "INVALID_SPELLING" Reject InvalidArgument 4
        "An identifier or a word isn't in its one spelling, by which it is compared: write it as docs/consent.md says (One spelling).";
    TagOutOfRange "TAG_OUT_OF_RANGE" Reject OutOfRange 4
        "The patient belongs to another log: send the record to the log whose genesis covers the tag.";
    ActRefused "ACT_REFUSED" Reject FailedPrecondition 4
        "The act doesn't fit what is registered: read the parties, then send an act that does.";
    SignaturesMissing "SIGNATURES_MISSING" Reject FailedPrecondition 4
        "The record needs the signatures of several authorities, or says something of an identity that another party must confirm: `sillage authority propose` or `sillage identity propose`, have the others sign it, then submit it.";
    LimitReached "LIMIT_REACHED" Reject ResourceExhausted 4
        "The party has signed as many counted records as it may in one day (those that take access away, end spaces or memberships, or embargo, and permissions and memberships on another's word than the patient's: docs/formats.md §19): find out why, then wait for the next day, or have the authority set another limit.";
    NotEntitled "NOT_ENTITLED" Reject PermissionDenied 4
        "The caller may not do this, or the actor may not sign it (docs/consent.md): ask the authority for the role, or the patient for the right.";
    NotVouched "NOT_VOUCHED" Reject PermissionDenied 4
        "The party that signs doesn't vouch for the structure, the system of actors or the issuer of logins that is named: ask the authority for `sillage keys vouching`, or name one of the party's own.";
    AuthenticationMissing "AUTHENTICATION_MISSING" Reject PermissionDenied 4
        "The patient, a representative or another person acts or asks, and nothing proves who they are: give their login (`will`); if the log names no issuer of logins, give issuer, method and an eIDAS level of substantial or high; for a directive that was collected on paper or by another system, give `collected` with its evidence.";
    LoginMalformed "LOGIN_MALFORMED" Reject InvalidArgument 4
        "A token of the login isn't a signed token that can be read in one way only: send the issuer's ID token as it came, decrypted, in compact form.";
    LoginAlgorithm "LOGIN_ALGORITHM" Reject PermissionDenied 4
        "The token is signed with an algorithm that isn't taken, or with another one than its key is for: ask the issuer for ES256, RS256 or EdDSA.";
    LoginIssuer "LOGIN_ISSUER" Reject PermissionDenied 4
        "The token's issuer isn't published in this log for this use at this time: log in with one that is, or ask the authority to publish it.";
    LoginKey "LOGIN_KEY" Reject PermissionDenied 4
        "The token names no key of its issuer that is on record: ask the authority to publish the issuer's new keys.";
    LoginSignature "LOGIN_SIGNATURE" Reject PermissionDenied 4
        "The issuer didn't sign this token, or the session's key didn't sign this record or request: send the token as it came, and sign with the key of the session.";
    LoginAudience "LOGIN_AUDIENCE" Reject PermissionDenied 4
        "The token was made for another service: log the person in at a service whose client id is on record for this issuer.";
    LoginExpired "LOGIN_EXPIRED" Reject FailedPrecondition 4
        "The login is over: log the person in again.";
    LoginNotYet "LOGIN_NOT_YET" Reject FailedPrecondition 4
        "The token isn't valid yet: set the clock, or wait.";
    LoginNotBound "LOGIN_NOT_BOUND" Reject PermissionDenied 4
        "The login was made for another record or request, another session or another log: its nonce doesn't name this one.";
    LoginSubject "LOGIN_SUBJECT" Reject PermissionDenied 4
        "Another person logged in than the one who decides or asks: log in the patient, or else the actor of the record or request.";
    LoginLevel "LOGIN_LEVEL" Reject PermissionDenied 4
        "The record or request says another issuer, method or level than the token does: say in `auth` what the token says, or nothing.";
    LoginReplayed "LOGIN_REPLAYED" Reject AlreadyExists 4
        "The same decision of the same moment is on record already: a will is recorded once.";
    UnknownReference "UNKNOWN_REFERENCE" Reject NotFound 4
        "The record points to something that isn't on record for this patient: list what is, and name one of it.";
    PermitAnyone "PERMIT_ANYONE" Reject InvalidArgument 4
        "A permission is never for anyone: name a person, an organisation, a profession, a team, an application or a project.";
    ActionsMissing "ACTIONS_MISSING" Reject InvalidArgument 4
        "A permission names what may be done: give its actions.";
    UntilMissing "UNTIL_MISSING" Reject InvalidArgument 4
        "This holds for a time only: say until when.";
    EmptyPeriod "EMPTY_PERIOD" Reject InvalidArgument 4
        "The period ends when it begins, or before: give an end after its beginning; without a beginning it begins now.";
    Attending "ATTENDING" Reject FailedPrecondition 4
        "The attending doctor can't be blocked: declare another one first.";
    RepresentationCycle "REPRESENTATION_CYCLE" Reject FailedPrecondition 4
        "The representative is represented by this patient, directly or through others: end that representation first.";
    IdTaken "ID_TAKEN" Reject AlreadyExists 4
        "Another record of this patient has this id and is in force: choose a new id, and say `supersedes` to replace the other.";
    TooManyDirectives "TOO_MANY_DIRECTIVES" Reject FailedPrecondition 4
        "A patient has at most 2,000 directives in force, with 10,000 categories, labels, items and purposes in all: revoke some first.";
    TooManyRules "TOO_MANY_RULES" Reject FailedPrecondition 4
        "This patient has reached the limit of such rules or of records that decide, or this actor the limit of open break-glasses (docs/consent.md): lift, end or close some first; the patient's own key can still take access away.";
    UnknownToken "UNKNOWN_TOKEN" Reject InvalidArgument 4
        "An actor is a URI and an id, as `urn:oid:1.2.250.1.71.4.2.1|10100000001`, and a token isn't empty: correct the one that is named.";
    ReasonMissing "REASON_MISSING" Reject InvalidArgument 4
        "A break-glass says in which case and why: give `case` and `reason`.";
    StaleRequest "STALE_REQUEST" Reject FailedPrecondition 4
        "The request was signed more than 5 minutes ago: sign a new one, and set the clock.";
    AsOfAhead "AS_OF_AHEAD" Reject OutOfRange 4
        "The log hasn't reached this time or index: ask for one that it has.";
    ItemContradicts "ITEM_CONTRADICTS" Reject FailedPrecondition 4
        "The request describes an item otherwise than its deposit did: send the record store's description.";
    NoCertificate "NO_CERTIFICATE" Reject Unauthenticated 4
        "The call came without a client certificate: call with the one that is registered.";
    UnknownCaller "UNKNOWN_CALLER" Reject Unauthenticated 4
        "The client certificate belongs to no registered party: ask the authority to register it.";
    InvalidCursor "INVALID_CURSOR" Reject InvalidArgument 4
        "The cursor wasn't made by this call with these filters: start again without a cursor.";
    SizeNotReached "SIZE_NOT_REACHED" Reject OutOfRange 4
        "The log hasn't reached this size: ask for a smaller one, or wait.";
    UnknownIndex "UNKNOWN_INDEX" Reject NotFound 4
        "No entry stands at this index: ask for one below the size of the log.";
    NotErasable "NOT_ERASABLE" Reject FailedPrecondition 4
        "There is no such payload to erase: name records of this patient that were recorded before, weren't erased and aren't acts.";
    RetentionTooEarly "RETENTION_TOO_EARLY" Reject FailedPrecondition 4
        "The ground is retention and a record is younger than three years: wait, or give the order that asks for it.";
    PatientErased "PATIENT_ERASED" Reject FailedPrecondition 4
        "This patient was erased, and is resolved only for readers, auditors and the patient: record nothing more under this identity.";
    DataKeyGone "DATA_KEY_GONE" Retry Unavailable 3
        "The batch was sealed under a key that was given up meanwhile: send the same batch again.";
    QuotaExceeded "QUOTA_EXCEEDED" Retry ResourceExhausted 3
        "The caller is over its quota of events or of entries opened: send the same again after the time that the message names, also `retry_after_ms`.";
    LookupLimit "LOOKUP_LIMIT" Retry ResourceExhausted 3
        "The caller resolves identities faster than it may: ask again after the time that the message names, also `retry_after_ms`.";
    Busy "BUSY" Retry ResourceExhausted 3
        "The node has more to do than it can take on: wait and send the same request again, or ask another node.";
    ReadOnly "READ_ONLY" Retry Unavailable 3
        "Nothing new is recorded, because the disks of the nodes are nearly full, a witness knows more than the log holds, or this is an isolated copy: see `sillage cluster status`, then send the same request again.";
    NotLeader "NOT_LEADER" Retry Unavailable 3
        "The node that took this isn't the leader any more: send the same request again.";
    NoLeader "NO_LEADER" Retry Unavailable 3
        "No leader is elected: send the same request again in a second; if it lasts, start the missing nodes.";
    Unavailable "UNAVAILABLE" Retry Unavailable 3
        "No node answers: check the endpoints and the nodes, then send the same request again.";
    Timeout "TIMEOUT" Retry DeadlineExceeded 3
        "The answer didn't come in time: ask again.";
    OutcomeUnknown "OUTCOME_UNKNOWN" Retry DeadlineExceeded 3
        "The batch may or may not be on record: send the same batch again, it is recorded once.";
    Storage "STORAGE" Fatal Internal 3
        "The node can't read or write its disk: use another node, and see this one's log.";
    Internal "INTERNAL" Fatal Internal 3
        "The node met a defect of its own, and nothing was recorded: report it with the node's log.";
    Corrupt "CORRUPT" Fatal DataLoss 1
        "The stored data doesn't match its hashes, and the node stopped serving: use another node, and replace this one (`sillage cluster member replace ID`).";
    PolicyRequired "POLICY_REQUIRED" Reject FailedPrecondition 2
        "A verification needs a policy that says whom to trust: name one with --policy.";
    ProofInvalid "PROOF_INVALID" Fatal DataLoss 1
        "The proof doesn't verify: don't rely on what it claims, keep it as evidence and ask another node.";
}

impl Code {
    /// The number of the gRPC status that carries it.
    pub const fn grpc_status(self) -> i32 {
        self.grpc() as i32
    }

    /// Tells whether the same request may succeed later.
    pub const fn is_retry(self) -> bool {
        matches!(self.class(), Class::Retry)
    }

    /// The code with this name, if this version knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A row of the table in `docs/errors.md`, where a bar within a cell is escaped.
    fn row(code: Code) -> String {
        let (name, class, exit) = (code.as_str(), code.class().as_str(), code.exit_code());
        let (grpc, number) = (code.grpc(), code.grpc_status());
        format!("| `{name}` | {class} | {exit} | {grpc:?} ({number}) | {} |", code.way_out().replace('|', "\\|"))
    }

    #[test]
    fn the_document_and_the_code_list_the_same_codes() {
        let doc = include_str!("../../docs/errors.md");
        let documented: Vec<&str> = doc.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Code::ALL.iter().copied().map(row).collect();
        assert_eq!(documented.join("\n"), expected.join("\n"));
    }

    #[test]
    fn names_are_unique_and_found_again() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
        }
        assert_eq!(Code::from_name("nonsense"), None);
    }

    #[test]
    fn what_may_be_tried_again_exits_with_3() {
        for code in Code::ALL {
            let exit = code.exit_code();
            assert!((1..=4).contains(&exit), "{code}");
            assert!(!code.is_retry() || exit == 3, "{code}");
            assert!(code.class() != Class::Reject || exit != 3, "{code}");
            assert!(code.way_out().ends_with('.'), "{code}");
        }
    }
}
