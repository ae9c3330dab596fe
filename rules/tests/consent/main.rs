//! The meaning of records for decisions, from the outside: real records through admission, state and decision.

mod admission;
mod care;
mod document;
mod in_force;
mod properties;
mod servers;
mod steps;
mod world;
