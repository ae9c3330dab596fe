//! The pages: pure functions from plain data ([`crate::view`]) to HTML. No I/O, no clock; everything that comes from outside is
//! escaped.
//!
//! One file a page. [`layout`] is the frame, [`parts`] has what several pages share: fields, errors, badges, facts. The style
//! sheet is `assets/style.css`; class names are its words. No page but that of [`verify`] has a script, and none has a style or a
//! script inside.
//!
//! | path | page |
//! | --- | --- |
//! | `/` | [`home::home`]; without a session [`home::welcome`] |
//! | `/trace` | [`trace::trace`] |
//! | `/trace/{index}` | [`line::line`] |
//! | `/trace/{index}/question` | [`questions::ask`], sent by POST to the same path |
//! | `/acces` | [`access::access`] |
//! | `/choix` | [`choices::choices`] |
//! | `/choix/{sorte}` | [`form::form`]: GET (with `?ligne=` or `?regle=`), or POST with the values of before |
//! | `/choix/apercu` (POST) | [`preview::preview`], or the form again with its errors |
//! | `/choix/confirmer` (POST) | leads to `/choix/fait/{index}`: [`preview::done`] |
//! | `/urgences` | [`emergencies::emergencies`] |
//! | `/questions` | [`questions::questions`]; POST `/questions/clore` closes one |
//! | `/sources` | [`sources::sources`] |
//! | `/emporter`, `/emporter/imprimer` | [`take::take`], [`print::print`] |
//! | `/verifier` | [`verify::verify`], with `/verifier.js` and `/verify.js` |
//! | `/proches` | [`family::family`], POST switches |
//! | `/aide`, `/accessibilite` | [`help::help`], [`help::accessibility`] |
//! | `/langue` (POST), `/deconnexion` (POST), `/sortie` (GET) | no page of their own; after a logout [`problem::farewell`] |
//! | `/style.css`, `/icone.svg` | [`STYLE`], [`ICON`] |
//! | any, when it can't be shown | [`problem::problem`]; of a login [`login::failed`], and [`login::choose`] |

pub mod access;
pub mod choices;
pub mod emergencies;
pub mod family;
pub mod form;
pub mod help;
pub mod home;
pub mod layout;
pub mod line;
pub mod login;
pub mod parts;
pub mod preview;
pub mod print;
pub mod problem;
pub mod questions;
pub mod sources;
pub mod take;
pub mod trace;
pub mod verify;

/// The style sheet, served at `/style.css`.
pub const STYLE: &str = include_str!("../../assets/style.css");

/// The icon, served at `/icone.svg`.
pub const ICON: &str = include_str!("../../assets/icon.svg");
