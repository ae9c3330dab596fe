//! From a login to an INS. FranceConnect knows no INS: somebody has to say to which patient an account belongs.
//!
//! [`resolver`] has the question and its four answers. Those who answer it:
//!
//! - [`claim`]: the provider itself, where it is an identity service that knows the INS. The ledger then verifies the INS in the
//!   login's own token;
//! - [`lookup`]: a service over HTTP, with the answers of the INSi teleservice: found, none, several;
//! - [`file`]: a file, for development: test logs alone;
//! - [`enrolment`]: what a patient has confirmed once, in front of one of the others.
//!
//! The ledger believes none of them: it takes the INS from a signed token. Where the provider's has none, [`statement`] signs one.
//!
//! In layers: [`resolver`] ← {[`claim`], [`file`], [`lookup`], [`enrolment`]} ← [`settings`]; [`statement`].
//!
//! No error, log line or `Debug` of this folder holds an identity.

pub mod claim;
pub mod enrolment;
pub mod file;
pub mod lookup;
pub mod resolver;
pub mod settings;
pub mod statement;

pub use resolver::{IdentityResolver, ResolveError, Resolved};
pub use settings::Settings;
pub use statement::Statements;
