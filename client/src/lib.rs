//! The SDK: how services record, ask and prove, and how patients and authorities decide.
//!
//! Where to start reading:
//!
//! - [`profile`] and [`session`]: who calls which log with which keys; [`channel`]: how calls reach the nodes;
//! - [`author`]: records become signed batches and come back as receipts; [`outbox`]: why a crash loses and repeats nothing;
//! - [`import`]: FHIR documents of other systems become records, each once;
//! - [`authorize`]: "may I?", and what a record store asks of the answer; [`consent`]: what patients decide, what holds, and
//!   who can open what because of it; [`emergency_mode`]: going on while the ledger is out of reach;
//! - [`trust`]: whose signatures count; [`checks`] and [`state`]: what is verified before it is believed;
//! - [`patient_session`]: what a portal reads and signs while one patient is logged in;
//! - [`day_report`]: what an establishment's connector took in on one day, signed;
//! - [`bundle`]: a patient's proofs as a file; [`trace`]: a patient's trace, page by page; [`parts`]: its lines put together.
//!
//! A service records so:
//!
//! ```no_run
//! # async fn example(records: Vec<sillage_client::author::NewRecord>) -> Result<(), sillage_client::ClientError> {
//! use sillage_client::{author::{Author, AuthorOptions}, channel::Timeouts, profile::Profile, session::Session};
//!
//! let profile = Profile::load("sillage.toml".as_ref())?;
//! let session = Session::open(profile, Timeouts::default()).await?;
//! let author = Author::open(&session, AuthorOptions { streams: 4, outbox: true }).await?;
//! let receipt = author.submit(records).await?;
//! println!("on record from index {}", receipt.first_index);
//! # Ok(())
//! # }
//! ```

pub mod author;
pub mod authorize;
pub mod bundle;
pub mod channel;
pub mod checks;
pub mod clock;
pub mod consent;
pub mod day_report;
pub mod doors;
pub mod emergency_mode;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod import;
pub mod outbox;
pub mod parts;
pub mod patient;
pub mod patient_session;
pub mod process;
pub mod profile;
pub mod session;
pub mod sign;
pub mod state;
pub mod trace;
pub mod trust;
pub mod will;

pub use error::ClientError;
