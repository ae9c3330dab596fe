//! Logins that wait for the page process, in memory: each under a code that was made for one session's key, for a minute.
//!
//! Nothing of it is on disk. Where this process ends meanwhile, the person logs in again, and nothing is on record.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use sillage_client::ClientError;
use sillage_client::patient_session::Subject;
use sillage_proof::hash::sha256;
use sillage_proto::v1;

use super::LoggedIn;

/// A browser comes back at once; the page process asks twice.
const KEPT_MS: u64 = 60_000;
/// Logins that wait at once.
const WAITING_MAX: usize = 4_096;
const CODE_BYTES: usize = 32;
const MINUTE_MS: u64 = 60_000;

/// A login that came to its end.
pub struct Waiting {
    /// The session's public key.
    pub session: [u8; 32],
    /// The patient.
    pub subject: Subject,
    /// `session.opened`, without its will.
    pub record: v1::Record,
    /// The login.
    pub login: LoggedIn,
}

struct Kept {
    waiting: std::sync::Arc<Waiting>,
    until_ms: u64,
}

/// Logins that wait.
pub struct Pending {
    by_code: Mutex<HashMap<[u8; 32], Kept>>,
    /// When the logins of the last minute began.
    begun: Mutex<VecDeque<u64>>,
    per_minute_max: usize,
}

impl Pending {
    /// None yet.
    pub fn new(per_minute_max: usize) -> Self {
        Self { by_code: Mutex::default(), begun: Mutex::default(), per_minute_max }
    }

    /// Whether one more may begin: so many in a minute, and no more.
    pub fn may_begin(&self, now_ms: u64) -> bool {
        let mut begun = self.begun.lock();
        while begun.front().is_some_and(|at| at + MINUTE_MS <= now_ms) {
            begun.pop_front();
        }
        let may = begun.len() < self.per_minute_max;
        if may {
            begun.push_back(now_ms);
        }
        may
    }

    /// Keeps a login, and makes its code; none where too many wait.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn put(&self, waiting: Waiting, now_ms: u64) -> Result<Option<String>, ClientError> {
        let mut code = [0; CODE_BYTES];
        getrandom::fill(&mut code).map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
        let code = hex::encode(code);
        let mut by_code = self.by_code.lock();
        by_code.retain(|_, kept| now_ms < kept.until_ms);
        if by_code.len() >= WAITING_MAX {
            return Ok(None);
        }
        let kept = Kept { waiting: waiting.into(), until_ms: now_ms + KEPT_MS };
        by_code.insert(name(&code), kept);
        Ok(Some(code))
    }

    /// The login of a code, for the session that it was made for. A code that comes with another session was led astray: it is used up.
    pub fn get(&self, code: &str, session: &[u8; 32], now_ms: u64) -> Option<std::sync::Arc<Waiting>> {
        let mut by_code = self.by_code.lock();
        let kept = by_code.get(&name(code))?;
        if kept.waiting.session != *session {
            by_code.remove(&name(code));
            return None;
        }
        (now_ms < kept.until_ms).then(|| kept.waiting.clone())
    }

    /// The session is on record: the code counts no more.
    pub fn end(&self, code: &str) {
        self.by_code.lock().remove(&name(code));
    }
}

/// Codes are compared by their hash: how long that takes tells nothing of them.
fn name(code: &str) -> [u8; 32] {
    sha256(&[b"sillage/portal/code\0", code.as_bytes()]).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_client::consent::who::Acting;
    use sillage_client::patient_session::ProvenTag;
    use sillage_proof::tag::PatientTag;

    fn waiting(session: [u8; 32]) -> Waiting {
        let open = ProvenTag { tag: PatientTag::from_bytes([1; 32]), proof: [0; 80] };
        let subject = Subject { ins: String::new(), oid: String::new(), open, secret: None };
        let text = String::new;
        let acting = Acting { actor: v1::Actor::default(), auth: None };
        let identity = v1::PatientIdentity::default();
        let (token, userinfo, name, through, acting_for) = (text(), text(), text(), text(), text());
        let login =
            LoggedIn { token, userinfo, acting, is_patient: true, identity, name, acting_for, through, until_ms: 0 };
        Waiting { session, subject, record: v1::Record::default(), login }
    }

    #[test]
    fn a_code_is_of_one_session_for_a_minute_and_once() {
        let pending = Pending::new(10);
        let code = pending.put(waiting([1; 32]), 0).expect("random").expect("room");
        assert!(pending.get(&code, &[1; 32], 59_999).is_some());
        assert!(pending.get(&code[1..], &[1; 32], 0).is_none(), "another code");
        assert!(pending.get(&code, &[1; 32], 60_000).is_none(), "too late");
        assert!(pending.get(&code, &[1; 32], 0).is_some());
        pending.end(&code);
        assert!(pending.get(&code, &[1; 32], 0).is_none(), "used");
        let code = pending.put(waiting([1; 32]), 0).expect("random").expect("room");
        assert!(pending.get(&code, &[2; 32], 0).is_none(), "of another session");
        assert!(pending.get(&code, &[1; 32], 0).is_none(), "it was led astray");
    }

    #[test]
    fn a_minute_has_so_many_logins() {
        let pending = Pending::new(2);
        assert!(pending.may_begin(0) && pending.may_begin(1_000) && !pending.may_begin(59_999));
        assert!(pending.may_begin(60_000) && !pending.may_begin(60_001));
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let pending = Pending::new(1);
        for _ in 0..WAITING_MAX {
            assert!(pending.put(waiting([1; 32]), 0).expect("random").is_some());
        }
        assert!(pending.put(waiting([1; 32]), 1).expect("random").is_none());
        assert!(pending.put(waiting([1; 32]), 60_000).expect("random").is_some(), "the old ones are gone");
    }
}
