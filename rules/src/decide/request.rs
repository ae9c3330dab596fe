//! A request for a decision, as a service signs it: from bytes to a checked value, once.

use prost::Message;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proto::v1;

use crate::check;
use crate::codes::Code;
use crate::consent::{Action, Actor, is_authenticated, spelling};
use crate::error::RecordError;
use crate::limits::*;
use crate::login;

/// The version of requests.
pub const REQUEST_VERSION: u32 = 1;
/// Items of one request.
pub const REQUEST_ITEMS_MAX: usize = 256;
/// How old a request may be when it is handed in: 5 minutes, in milliseconds.
pub const REQUEST_AGE_MS_MAX: u64 = 300_000;

/// A request that was checked: canonical bytes, every field within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRequest {
    message: v1::DecisionRequest,
    bytes: Vec<u8>,
    tag: [u8; 32],
    secret_tag: Option<[u8; 32]>,
    actor: Actor,
    action: Action,
}

impl ParsedRequest {
    /// Parses a request in canonical encoding.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`, or the code of a field, with the path of what can't be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            let why = format!("{} bytes, and a request has at most {RECORD_BYTES_MAX}", bytes.len());
            return Err(malformed("", why));
        }
        let message = v1::DecisionRequest::decode(bytes)
            .map_err(|error| malformed("", format!("not a sillage.v1.DecisionRequest: {error}")))?;
        let request = Self::from_message(message)?;
        if request.bytes != bytes {
            let why = "not in canonical encoding: fields in order, defaults left out, none unknown";
            return Err(malformed("", why));
        }
        Ok(request)
    }

    /// Encodes and checks a request that this program made.
    ///
    /// # Errors
    /// As for [`ParsedRequest::parse`].
    pub fn from_message(message: v1::DecisionRequest) -> Result<Self, RecordError> {
        if message.version != REQUEST_VERSION {
            return Err(malformed("version", format!("{} isn't a version that is known: it is 1", message.version)));
        }
        let tag = tag("tag", &message.tag)?;
        let secret_tag = match message.secret_tag.is_empty() {
            true => None,
            false => Some(self::tag("secret_tag", &message.secret_tag)?),
        };
        if secret_tag == Some(tag) {
            return Err(malformed("secret_tag", "the same as the open tag"));
        }
        let Some(who) = &message.actor else {
            return Err(malformed("actor", "missing: who asks to be allowed"));
        };
        let checked = check::check_actor(who).and_then(|()| Actor::from_record(who));
        let actor = as_request(checked).map_err(|error| error.within("actor"))?;
        let action = Action::from_token(&message.action).ok_or_else(|| {
            let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
            malformed("action", format!("not one of {}", known.join(", ")))
        })?;
        as_request(check::required("purpose", &message.purpose))?;
        as_request(check::code("purpose", &message.purpose))?;
        items(&message.items)?;
        if !(1..=OCCURRED_AT_MS_MAX).contains(&message.requested_at_ms) {
            return Err(malformed("requested_at_ms", "not a time: milliseconds since 1970"));
        }
        if message.nonce.len() != 16 {
            return Err(malformed("nonce", "16 random bytes"));
        }
        as_request(check::authentication(message.auth.as_ref()))?;
        if let Some(correlation) = &message.correlation {
            as_request(check::check_correlation(correlation)).map_err(|error| error.within("correlation"))?;
        }
        if let Some(will) = &message.will {
            as_request(login::check_bounds(will)).map_err(|error| error.within("will"))?;
        }
        let bytes = message.encode_to_vec();
        Ok(Self { message, bytes, tag, secret_tag, actor, action })
    }

    /// Refuses what was signed more than five minutes ago, or says that it was signed more than five minutes from now.
    /// `now_ms` in milliseconds since 1970.
    ///
    /// # Errors
    /// `STALE_REQUEST`, `TIME_AHEAD`.
    pub fn check_time(&self, now_ms: u64) -> Result<(), RecordError> {
        let (path, signed_ms) = ("requested_at_ms", self.message.requested_at_ms);
        if signed_ms.saturating_sub(now_ms) > FUTURE_MS_MAX {
            return Err(RecordError::new(Code::TimeAhead, path, "ahead of the ledger's clock: set the requester's"));
        }
        if now_ms.saturating_sub(signed_ms) > REQUEST_AGE_MS_MAX {
            return Err(RecordError::new(Code::StaleRequest, path, "signed more than 5 minutes ago: sign a new one"));
        }
        Ok(())
    }

    /// Everything it says.
    pub const fn message(&self) -> &v1::DecisionRequest {
        &self.message
    }

    /// Its canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash that stands for it in the authorize message and in the actor's part: `H(0x00 ‖ request)`.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.bytes)
    }

    /// The patient's open tag.
    pub const fn tag(&self) -> &[u8; 32] {
        &self.tag
    }

    /// The patient's secret tag.
    pub const fn secret_tag(&self) -> Option<&[u8; 32]> {
        self.secret_tag.as_ref()
    }

    /// The actor that asks to be allowed.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// To do what.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The purpose.
    pub fn purpose(&self) -> &str {
        &self.message.purpose
    }

    /// With what.
    pub fn items(&self) -> &[v1::Item] {
        &self.message.items
    }

    /// Checks that every name and word of it that is compared is in its one spelling.
    ///
    /// # Errors
    /// `INVALID_SPELLING`, or the code of the identifier, with the path of what isn't.
    pub fn check_spelling(&self) -> Result<(), RecordError> {
        if let Some(actor) = &self.message.actor {
            spelling::check_actor(actor).map_err(|error| error.within("actor"))?;
        }
        spelling::check_word("purpose", &self.message.purpose)?;
        spelling::check_items(&self.message.items)
    }

    /// Tells whether it says how the actor proved who they are, at a sufficient level.
    pub fn is_authenticated(&self) -> bool {
        is_authenticated(self.message.auth.as_ref())
    }
}

fn malformed(path: &str, message: impl Into<String>) -> RecordError {
    RecordError::new(Code::MalformedRequest, path, message)
}

/// The bounds are those of records, the code is that of requests.
fn as_request<T>(checked: Result<T, RecordError>) -> Result<T, RecordError> {
    checked.map_err(|mut error| {
        if error.code == Code::MalformedRecord {
            error.code = Code::MalformedRequest;
        }
        error
    })
}

fn tag(path: &str, tag: &[u8]) -> Result<[u8; 32], RecordError> {
    match <[u8; 32]>::try_from(tag) {
        Ok(tag) if tag != [0; 32] => Ok(tag),
        Ok(_) => Err(malformed(path, "the tag of zero bytes stands for no patient")),
        Err(_) => Err(malformed(path, "a patient's tag has 32 bytes")),
    }
}

fn items(items: &[v1::Item]) -> Result<(), RecordError> {
    if items.is_empty() {
        return Err(malformed("items", "name at least one item"));
    }
    as_request(check::at_most("items", items.len(), REQUEST_ITEMS_MAX))?;
    let mut seen = std::collections::BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let within = |error: RecordError| error.within(&format!("items[{at}]"));
        as_request(check::required("id", &item.id).and_then(|()| check::check_item(item))).map_err(within)?;
        if !seen.insert(item.id.as_str()) {
            return Err(within(malformed("id", "an item stands there twice")));
        }
        if !item.depositor.is_empty() {
            let depositor = item.depositor.parse::<crate::consent::ActorName>();
            as_request(depositor).map_err(|error| within(error.within("depositor")))?;
        }
    }
    Ok(())
}
