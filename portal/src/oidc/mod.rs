//! A client of OpenID Connect, with the settings of FranceConnect v2 and FranceConnect+: it sends a person to the provider, and
//! takes back who they are, in a form that the ledger verifies once more.
//!
//! Start at [`client::Client`]: [`begin`](client::Client::begin) makes the address to which the browser goes and what has to be
//! kept until it comes back ([`request::Pending`]); [`finish`](client::Client::finish) takes the browser's return, exchanges the
//! code at once, verifies, and gives a [`client::Login`]. There is no server in here, and no state of users.
//!
//! In layers: [`error`] ← [`settings`] ← {[`http`], [`keys`], [`jwe`]} ← [`discovery`] ← [`request`] ← [`verify`] ← [`client`].
//!
//! - **Pinned**: the issuer, the hosts, ES256 for signatures, ECDH-ES with A256GCM for encryption. The provider's own document can
//!   narrow that and never widen it.
//! - **Asked for and enforced**: the level (`acr_values`, `acr`) and the age of a login (`max_age`, `auth_time`).
//! - **Kept**: the ID token and the userinfo answer as they were signed. A record in the ledger carries them as the proof of a will
//!   (`docs/formats.md` §20), so an encrypted token is decrypted to the signed token inside it.
//! - **Dropped and wiped**: the access token, the code and the verifier.
//! - **Never said**: no error, log line or `Debug` holds a token or a claim.
//!
//! *Absent*: RSA-OAEP, which FranceConnect+ offers beside ECDH-ES. The RSA crate in pure Rust leaks its key through the time that it
//! takes (RUSTSEC-2023-0071), and ring doesn't decrypt with RSA. A client chooses ECDH-ES when it is registered.

/// Wipes these fields of a type when it is dropped.
macro_rules! wipe_on_drop {
    ($type:ty: $($field:ident),+) => {
        impl Drop for $type {
            fn drop(&mut self) {
                $(zeroize::Zeroize::zeroize(&mut self.$field);)+
            }
        }
    };
}

pub mod client;
pub mod discovery;
pub mod error;
pub mod http;
pub mod jwe;
pub mod keys;
pub mod request;
pub mod settings;
pub mod verify;

#[cfg(test)]
mod testing;

pub use client::{Client, Login, Person};
pub use error::{Advice, LoginError, SettingsError};
pub use request::{Ask, Callback, Pending};
pub use settings::Settings;
