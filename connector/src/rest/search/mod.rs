//! Searching: which parameters are understood, what they match, and pages that a client goes through.
//!
//! - [`params`]: from the parameters of a URL to [`params::Query`], or why it is refused;
//! - [`matching`]: whether a resource fits; [`dates`]: FHIR's dates and their prefixes;
//! - [`cursor`]: where a page ended, sealed, so that no client reads or changes it.
//!
//! FHIR lets a server ignore a parameter that it doesn't know. Here one is ignored only where that can't show more than was
//! asked for: a parameter that would narrow a search to a patient, a person or a document, and isn't understood, is refused.

pub mod cursor;
pub mod dates;
pub mod matching;
pub mod params;
