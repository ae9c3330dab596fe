//! The question to whom an account belongs, and its answers.

use std::future::Future;
use std::pin::Pin;

use sillage_rules::ident::{Checks, Ins, Source};
use sillage_rules::will::Level;

use crate::oidc::Person;

/// The INS of an answer, by the rules of the log: form and key hold, and a test INS is for test logs alone.
pub(super) fn checked(value: &str, oid: &str, is_test_log: bool) -> Result<Ins, ResolveError> {
    let checks = Checks { test_log: is_test_log, source: Source::Direct };
    match Ins::check(value, oid, checks) {
        Ok((ins, None)) => Ok(ins),
        Ok((_, Some(_))) | Err(_) => Err(ResolveError::Answer),
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// This patient, confirmed before, or said by a provider that knows it.
    Found(Ins),
    /// This patient, by their traits: they have to confirm it once ([`IdentityResolver::enrol`]).
    ToConfirm(Ins),
    /// Nobody: the traits are of no known patient.
    None,
    /// Several patients have these traits: a person has to tell them apart, and no program may guess.
    Several,
}

/// Why there is no answer. Holds nothing of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The service doesn't answer, or not in time.
    #[error("the service that knows the INS can't be reached: try again")]
    Unreachable,
    /// Its answer isn't one.
    #[error("the answer on an INS isn't in the form that docs/login-oidc.md says")]
    Answer,
    /// The traits of the person are too few to ask.
    #[error("the provider doesn't say enough of the person: family name, given name, date of birth and gender")]
    Traits,
    /// A confirmation can't be kept.
    #[error("what the patient confirmed can't be written: look at the disk of this process")]
    Store,
    /// No more room.
    #[error("the file of enrolments is full")]
    Full,
    /// The account belongs to another patient already.
    #[error("this account was confirmed for another patient: an operator has to look")]
    Conflict,
    /// It is for more than the level of the login.
    #[error("an account is confirmed with a login of the level substantial at least")]
    Level,
}

impl ResolveError {
    /// Every reason.
    pub const ALL: [Self; 7] =
        [Self::Unreachable, Self::Answer, Self::Traits, Self::Store, Self::Full, Self::Conflict, Self::Level];

    /// Its name in a log line and on a page.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "INS_UNREACHABLE",
            Self::Answer => "INS_ANSWER",
            Self::Traits => "INS_TRAITS",
            Self::Store => "INS_STORE",
            Self::Full => "INS_FULL",
            Self::Conflict => "INS_CONFLICT",
            Self::Level => "INS_LEVEL",
        }
    }
}

/// An answer that comes later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ResolveError>> + Send + 'a>>;

/// Whoever knows to which patient an account belongs.
pub trait IdentityResolver: Send + Sync {
    /// Asks to whom this account belongs.
    fn resolve<'a>(&'a self, person: &'a Person) -> Answer<'a, Resolved>;

    /// Keeps that the person who logged in, at this level, has confirmed that the INS is theirs. Where nothing is kept, nothing
    /// happens: they confirm again the next time.
    fn enrol<'a>(&'a self, _person: &'a Person, _ins: &'a Ins, _level: Level) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An INS whose key is right.
    pub fn ins(number: &str) -> String {
        let value: u64 = number.parse().expect("13 digits");
        format!("{number}{:02}", 97 - value % 97)
    }

    pub fn person(sub: &str) -> Person {
        Person {
            issuer: "https://idp.example".to_owned(),
            sub: sub.to_owned(),
            family_name: Some("MARTIN".to_owned()),
            given_name: Some("Zoé Marie".to_owned()),
            birthdate: Some("1980-01-00".to_owned()),
            gender: Some("female".to_owned()),
            birthplace: Some("75101".to_owned()),
            birthcountry: Some("99100".to_owned()),
            ins: None,
            oid: None,
        }
    }

    pub const OID: &str = "1.2.250.1.213.1.4.8";

    #[test]
    fn the_page_on_logins_has_each_reason() {
        let page = include_str!("../../../docs/login-oidc.md");
        for error in ResolveError::ALL {
            assert!(page.contains(&format!("`{}`", error.code())), "{}", error.code());
        }
    }

    #[test]
    fn an_ins_of_an_answer_holds_by_the_rules_of_the_log() {
        let value = ins("2800175123456");
        assert_eq!(checked(&value, OID, false).map(|ins| ins.value().to_owned()), Ok(value.clone()));
        let wrong = format!("{}{}", &value[..14], (value.as_bytes()[14] - b'0' + 1) % 10);
        assert_eq!(checked(&wrong, OID, false), Err(ResolveError::Answer), "another key");
        assert_eq!(checked("123", OID, false), Err(ResolveError::Answer));
        assert_eq!(checked(&value, "1.2.3", false), Err(ResolveError::Answer), "no OID of an INS");
        let demo = Ins::demo("patient-1");
        assert_eq!(
            checked(demo.value(), demo.oid().as_str(), false),
            Err(ResolveError::Answer),
            "a test INS in a log of persons"
        );
        assert_eq!(checked(demo.value(), demo.oid().as_str(), true), Ok(demo));
    }
}
