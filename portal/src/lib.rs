//! The patient's door: pages that show who accessed, who may, and let the patient decide.

pub mod pages;
pub mod view;
pub mod words;
