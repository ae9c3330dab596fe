//! Consent and decisions, as stories: what is recorded takes effect, and what is asked is decided in the order of the
//! log.

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod basis;
mod break_glass;
mod claims;
mod cosigned;
mod decisions;
mod documents;
mod erasing;
mod model;
mod names;
mod records;
mod voiding;
mod vouching;
