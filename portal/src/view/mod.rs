//! Plain data that a page shows. No I/O and no HTML: handlers fill it, [`crate::pages`] makes HTML of it.
//!
//! Start at [`chrome`], which every page has, and [`trace`], the page that patients come for. Text of records is [`Text`], which is
//! cleaned as it is made; names of fields of forms are in [`fields`].

pub mod access;
pub mod choices;
pub mod chrome;
pub mod fields;
pub mod home;
pub mod login;
pub mod people;
pub mod problem;
pub mod stories;
pub mod take;
pub mod text;
pub mod trace;

pub use chrome::{Chrome, Ending, User};
pub use fields::{Choice, Fact, FieldError, Hidden};
pub use sillage_words::Lang;
pub use text::Text;
