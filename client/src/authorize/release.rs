//! No receipt, no data: what a record store asks of a receipt before it gives anything out.

use sillage_proof::hash::LedgerTimeMs;
use sillage_rules::consent::{Actor, ActorName};

use super::receipt::ReceiptFile;

/// A wish of somebody to a record store.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The actor who asks for the data.
    pub actor: &'a ActorName,
    /// The patient whose documents they are: the tags as the store knows them.
    pub tags: &'a [[u8; 32]],
    /// The action; none: anything that the receipt says.
    pub action: Option<&'a str>,
    /// With which documents.
    pub items: &'a [String],
    /// Now, by the store's clock, ms since 1970.
    pub at_ms: u64,
}

/// Why nothing is given out. Holds no identity: it goes into the store's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else's receipt.
    #[error("the receipt is another actor's: ask for one of this actor's own")]
    Actor,
    /// Another patient's documents.
    #[error("the receipt is about another patient")]
    Patient,
    /// Another action.
    #[error("the receipt is for another action")]
    Action,
    /// Not any more.
    #[error("the receipt has expired: ask again")]
    Expired,
    /// By the store's clock it isn't decided yet.
    #[error("the receipt is from the future by more than five minutes: set the clock")]
    Ahead,
    /// Nothing was named.
    #[error("no document was named")]
    Nothing,
    /// This document isn't among those permitted; its place in what was wanted, from 0.
    #[error("document number {} of those asked for is not permitted by the receipt", .0 + 1)]
    Item(usize),
}

/// How far the ledger's clock may be ahead of a store's.
pub const AHEAD_MS_MAX: u64 = 300_000;

/// Tells whether every receipt of a file stands at a moment, ms since 1970. `ahead_ms_max` is what the ledger's clock may be ahead of
/// the one that the moment was read from. The file's signatures must have been verified ([`ReceiptFile::verify`]).
///
/// # Errors
/// [`Refused::Ahead`] or [`Refused::Expired`].
pub fn stands(file: &ReceiptFile, at_ms: u64, ahead_ms_max: u64) -> Result<(), Refused> {
    for receipt in &file.receipts {
        let part = &receipt.view.actor;
        if part.decided_at_ms.saturating_sub(at_ms) > ahead_ms_max {
            return Err(Refused::Ahead);
        }
        if part.expires_at_ms <= at_ms {
            return Err(Refused::Expired);
        }
    }
    Ok(())
}

/// Tells whether a receipt lets these documents out to this actor now. The file's signatures must have been verified
/// ([`ReceiptFile::verify`]).
///
/// # Errors
/// The first reason why not.
pub fn check(file: &ReceiptFile, wanted: &Wanted<'_>) -> Result<(), Refused> {
    if wanted.items.is_empty() {
        return Err(Refused::Nothing);
    }
    for receipt in &file.receipts {
        let part = &receipt.view.actor;
        let actor = part.actor.as_ref().and_then(|actor| Actor::from_record(actor).ok());
        let wanted_name = wanted.actor.on_record();
        if actor.is_none_or(|actor| actor.name.on_record() != wanted_name) {
            return Err(Refused::Actor);
        }
        if !wanted.tags.contains(&receipt.message.tag) {
            return Err(Refused::Patient);
        }
        if wanted.action.is_some_and(|action| action != part.action) {
            return Err(Refused::Action);
        }
    }
    stands(file, wanted.at_ms, AHEAD_MS_MAX)?;
    let permitted =
        |item: &str| file.receipts.iter().any(|receipt| receipt.view.permits(item, LedgerTimeMs(wanted.at_ms)));
    match wanted.items.iter().position(|item| !permitted(item)) {
        Some(at) => Err(Refused::Item(at)),
        None => Ok(()),
    }
}
