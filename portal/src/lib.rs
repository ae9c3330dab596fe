//! The patient's door: pages that show who accessed, who may, and let the patient decide.

pub mod identity;
pub mod oidc;
