//! The owner of an item, and the two tags of one patient.
//!
//! An item belongs to the patient under whose tag it was first deposited, and to who deposited it then, for good: nobody
//! takes it over by writing it again, nor by deleting it first. What it is (category, labels) is what the last deposit says
//! that was its depositor's, or was made on a decision that permitted it: any other is on record, and changes nothing. Both
//! stand in sealed records, and are opened when the item is asked for.
//!
//! If the depositor rewrites an item under the patient's secret tag, the item is secret from then on. Where nothing says yet
//! which two tags are one patient's, that is noted, and counts as soon as something does.

use sillage_proof::hash::{Hash, LeafIndex, sha256};
use sillage_rules::consent::DepositedItem;
use sillage_rules::ident::spelling;

use super::rules::Rules;
use crate::error::{ReadError, Stop};
use crate::feature::{ROLES, is_reached};
use crate::overlay::Overlay;
use crate::schema::consent_prefix::{OPEN, SECRET};
use crate::schema::{Family, TAG_LEN};

type Tag = [u8; TAG_LEN];

/// Where an item was deposited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemRow {
    pub tag: Tag,
    /// The entry of its first deposit.
    pub first: LeafIndex,
    /// The entry of the last deposit that says what it is.
    pub last: LeafIndex,
    /// Its depositor wrote it again under tags that weren't known to be the same patient's: each has a row of its own.
    pub claimed: bool,
}

/// Behind the row of an item that was written again.
const CLAIMED: u8 = 1;

impl ItemRow {
    fn encode(&self) -> Vec<u8> {
        let claimed = if self.claimed { &[CLAIMED][..] } else { &[] };
        [&self.tag[..], &self.first.get().to_be_bytes(), &self.last.get().to_be_bytes(), claimed].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        fn index(bytes: &[u8]) -> Option<(LeafIndex, &[u8])> {
            bytes.split_first_chunk().map(|(index, rest)| (LeafIndex(u64::from_be_bytes(*index)), rest))
        }
        let (tag, rest) = bytes.split_first_chunk::<TAG_LEN>()?;
        let (first, rest) = index(rest)?;
        let (last, rest) = index(rest)?;
        let claimed = match rest {
            [] => false,
            [CLAIMED] => true,
            _ => return None,
        };
        Some(Self { tag: *tag, first, last, claimed })
    }
}

fn item_key(id: &str) -> Hash {
    sha256(&[b"sillage/item/v1\0", id.as_bytes()])
}

/// Of what was written again under a tag.
fn claim_key(id: &str, tag: &Tag) -> Hash {
    sha256(&[b"sillage/claim/v1\0", tag, id.as_bytes()])
}

/// Deposits of an item that are gone through for the newest that counts.
const DEPOSITS_WALKED: usize = 32;

/// Under which it stands what an item was before a deposit.
fn before_key(id: &str, index: LeafIndex) -> Vec<u8> {
    let hash = sha256(&[b"sillage/before/v1\0", id.as_bytes()]);
    [&hash.as_bytes()[..], &index.get().to_be_bytes()].concat()
}

fn damaged() -> ReadError {
    ReadError::Damaged("the row of an item or of two tags can't be read".into())
}

/// Behind the other tag of a pair: a request proved it. Without it, the authority said so.
const PROVEN: u8 = 1;

fn tag_of(row: Vec<u8>) -> Result<Tag, ReadError> {
    match row.split_first_chunk() {
        Some((tag, [] | [PROVEN])) => Ok(*tag),
        _ => Err(damaged()),
    }
}

fn open_key(tag: &Tag) -> Vec<u8> {
    [OPEN, tag].concat()
}

fn secret_key(tag: &Tag) -> Vec<u8> {
    [SECRET, tag].concat()
}

impl Overlay<'_> {
    /// Where the item of this id was deposited, as far as its patient's tags are known.
    pub(crate) fn item(&self, id: &str) -> Result<Option<ItemRow>, ReadError> {
        self.item_among(id, None)
    }

    /// The same where an open and a secret tag are known to be one patient's before that is on record.
    pub(crate) fn item_among(&self, id: &str, pair: Option<(&Tag, &Tag)>) -> Result<Option<ItemRow>, ReadError> {
        let Some(row) = self.stored_item(id)? else { return Ok(None) };
        let Some(row) = self.counting(id, row)? else { return Ok(None) };
        if !row.claimed {
            return Ok(Some(row));
        }
        // The secret tag where its first deposit is under the open one; and the other way round.
        let (second, open) = match pair {
            Some((open, second)) if row.tag == *open => (Some(*second), None),
            Some((open, second)) if row.tag == *second => (None, Some(*open)),
            _ => (self.secret_of(&row.tag)?, self.open_of(&row.tag)?),
        };
        let claim = |tag: Option<Tag>| tag.map(|tag| self.claim(id, &tag)).transpose().map(Option::flatten);
        // What was secret once stays so, also where who wrote it is voided; what it says then isn't asked.
        let said = |at: LeafIndex| Ok::<_, ReadError>(if self.still_counts(at)? { at } else { row.last });
        if let (Some(tag), Some(at)) = (second, claim(second)?) {
            return Ok(Some(ItemRow { tag, last: row.last.max(said(at)?), ..row }));
        }
        // What was secret once stays so.
        let last = match claim(open)? {
            Some(at) => row.last.max(said(at)?),
            None => row.last,
        };
        Ok(Some(ItemRow { last, ..row }))
    }

    /// The same, also of an item that was deposited under another spelling of its id, where `spelled`: names are compared in
    /// their one spelling.
    pub(crate) fn item_spelled(
        &self,
        id: &str,
        pair: Option<(&Tag, &Tag)>,
        spelled: bool,
    ) -> Result<Option<ItemRow>, ReadError> {
        let found = self.item_among(id, pair)?;
        match spelling::older_text(id).filter(|_| found.is_none() && spelled) {
            Some(older) => self.item_among(&older, pair),
            None => Ok(found),
        }
    }

    /// An item as if the deposits of it that are voided hadn't been made; `None` where none is left. Where they are too many to be
    /// gone through, it is what the first one says. A deposit that was made while all before it were voided began the item anew: it
    /// counts only for as long as they stay so.
    fn counting(&self, id: &str, row: ItemRow) -> Result<Option<ItemRow>, ReadError> {
        if self.voids()?.is_empty() {
            return Ok(Some(row));
        }
        // First and last deposit that count, and the tag under which they began the item anew.
        let mut found: Option<(LeafIndex, LeafIndex, Option<Tag>)> = None;
        let older = |found, index| match found {
            Some((_, last, None)) => Some((index, last, None)),
            _ => Some((index, index, None)),
        };
        let mut at = Some(row.last);
        for _ in 0..DEPOSITS_WALKED {
            let Some(index) = at else { break };
            if self.still_counts(index)? {
                found = older(found, index);
            }
            at = match self.deposit_before(id, index)? {
                _ if index == row.first => None,
                Some((before, anew)) => {
                    if let Some((_, _, began @ None)) = &mut found {
                        *began = anew;
                    }
                    Some(before)
                }
                // What was recorded before the ledger kept them.
                None => Some(row.first),
            };
        }
        if at.is_some() && self.still_counts(row.first)? {
            found = older(found, row.first);
        }
        Ok(found.map(|(first, last, anew)| ItemRow { tag: anew.unwrap_or(row.tag), first, last, ..row }))
    }

    /// The id under which an item is kept: where its deposits were recorded under an older spelling, that one.
    pub(crate) fn kept_id(&self, id: &str) -> Result<String, ReadError> {
        if let Some(older) = spelling::older_text(id)
            && is_reached(self.store(), ROLES)?
            && self.item(id)?.is_none()
            && self.item(&older)?.is_some()
        {
            return Ok(older);
        }
        Ok(id.to_owned())
    }

    /// The deposit that said what an item is before the one of entry `index` did; and the tag of this one, where all before it
    /// were voided when it was made.
    fn deposit_before(&self, id: &str, index: LeafIndex) -> Result<Option<(LeafIndex, Option<Tag>)>, ReadError> {
        let Some(row) = self.row(Family::Item, &before_key(id, index))? else { return Ok(None) };
        let (before, rest) = row.split_first_chunk().ok_or_else(damaged)?;
        let anew = match rest {
            [] => None,
            tag => Some(tag.try_into().map_err(|_| damaged())?),
        };
        Ok(Some((LeafIndex(u64::from_be_bytes(*before)), anew)))
    }

    /// The row of an item as it is stored, whatever is voided.
    fn stored_item(&self, id: &str) -> Result<Option<ItemRow>, ReadError> {
        let row = self.row(Family::Item, item_key(id).as_bytes())?;
        row.map(|row| ItemRow::decode(&row).ok_or_else(damaged)).transpose()
    }

    fn claim(&self, id: &str, tag: &Tag) -> Result<Option<LeafIndex>, ReadError> {
        let row = self.row(Family::Item, claim_key(id, tag).as_bytes())?;
        let index = |row: Vec<u8>| row.try_into().map(u64::from_be_bytes).map(LeafIndex).map_err(|_| damaged());
        row.map(index).transpose()
    }

    fn put_item(&mut self, id: &str, row: &ItemRow) {
        self.set_row(Family::Item, item_key(id).as_bytes().to_vec(), Some(row.encode()));
    }

    /// The secret tag of the patient with this open tag, as far as it was seen.
    pub(crate) fn secret_of(&self, open: &Tag) -> Result<Option<Tag>, ReadError> {
        self.row(Family::Consent, &open_key(open))?.map(tag_of).transpose()
    }

    /// The open tag of the patient with this secret tag, as far as it was seen.
    pub(crate) fn open_of(&self, secret: &Tag) -> Result<Option<Tag>, ReadError> {
        self.row(Family::Consent, &secret_key(secret))?.map(tag_of).transpose()
    }

    /// The patient's other tag, as far as it was seen.
    pub(crate) fn other_tag(&self, tag: &Tag) -> Result<Option<Tag>, ReadError> {
        match self.secret_of(tag)? {
            Some(secret) => Ok(Some(secret)),
            None => self.open_of(tag),
        }
    }

    /// Tells whether these are on record as the open and the secret tag of one patient, proven by a request.
    pub(crate) fn is_proven(&self, open: &Tag, secret: &Tag) -> Result<bool, ReadError> {
        let proven = |key: &[u8], tag: &Tag| {
            let row = self.row(Family::Consent, key)?;
            Ok::<_, ReadError>(row.is_some_and(|row| row == [&tag[..], &[PROVEN]].concat()))
        };
        Ok(proven(&open_key(open), secret)? && proven(&secret_key(secret), open)?)
    }

    /// Tells whether these may be the open and the secret tag of one patient: nothing on record says otherwise.
    pub(crate) fn may_pair(&self, open: &Tag, secret: &Tag) -> Result<bool, ReadError> {
        let known = self.secret_of(open)?.is_none_or(|known| known == *secret);
        let known_back = self.open_of(secret)?.is_none_or(|known| known == *open);
        let either = self.open_of(open)?.is_some() || self.secret_of(secret)?.is_some();
        Ok(open != secret && known && known_back && !either)
    }

    /// Notes that these are the open and the secret tag of one patient, in the place of whatever was noted of them.
    /// `proven`: by a request, and not only said by the authority.
    pub(crate) fn pair(&mut self, open: &Tag, secret: &Tag, proven: bool) -> Result<(), ReadError> {
        if self.is_proven(open, secret)? {
            return Ok(());
        }
        for tag in [open, secret] {
            if let Some(other) = self.secret_of(tag)? {
                self.set_row(Family::Consent, secret_key(&other), None);
                self.set_row(Family::Consent, open_key(tag), None);
            }
            if let Some(other) = self.open_of(tag)? {
                self.set_row(Family::Consent, open_key(&other), None);
                self.set_row(Family::Consent, secret_key(tag), None);
            }
        }
        let row = |tag: &Tag| [&tag[..], if proven { &[PROVEN][..] } else { &[] }].concat();
        self.set_row(Family::Consent, open_key(open), Some(row(secret)));
        self.set_row(Family::Consent, secret_key(secret), Some(row(open)));
        Ok(())
    }

    /// An item was deposited or changed by the record of entry `index`; where it was deposited before, by someone who may
    /// say what it is.
    pub(crate) fn deposited(
        &mut self,
        tag: &Tag,
        (id, known): (&str, Option<ItemRow>),
        index: LeafIndex,
    ) -> Result<(), ReadError> {
        // What is voided may be reinstated: it stays on the item's row, and counts again then.
        let stored = self.stored_item(id)?;
        let voids = !self.voids()?.is_empty();
        let row = match known {
            None => match stored {
                Some(stored) => ItemRow { last: index, ..stored },
                None => ItemRow { tag: *tag, first: index, last: index, claimed: false },
            },
            Some(known) => {
                let row = ItemRow { last: index, ..stored.filter(|_| voids).unwrap_or(known) };
                if known.tag == *tag || self.open_of(&known.tag)? == Some(*tag) {
                    // What was secret once stays so.
                    row
                } else if self.secret_of(&known.tag)? == Some(*tag) && row.tag == known.tag {
                    ItemRow { tag: *tag, ..row }
                } else if self.secret_of(&known.tag)? == Some(*tag) {
                    // The row is of the patient of a voided deposit: it is secret by a row of its own.
                    let key = claim_key(id, tag).as_bytes().to_vec();
                    self.set_row(Family::Item, key, Some(index.get().to_be_bytes().to_vec()));
                    ItemRow { claimed: true, ..row }
                } else {
                    return Ok(());
                }
            }
        };
        if let Some(stored) = stored
            && stored.last != index
            && is_reached(self.store(), ROLES)?
        {
            let anew = if known.is_none() { &tag[..] } else { &[] };
            let before = [&stored.last.get().to_be_bytes()[..], anew].concat();
            self.set_row(Family::Item, before_key(id, index), Some(before));
        }
        self.put_item(id, &row);
        Ok(())
    }

    /// An item's depositor wrote it again by the record of entry `index`, under a tag that may be its patient's other one.
    pub(crate) fn claimed(
        &mut self,
        tag: &Tag,
        (id, known): (&str, Option<ItemRow>),
        index: LeafIndex,
    ) -> Result<(), ReadError> {
        let row = if self.voids()?.is_empty() { known } else { self.stored_item(id)? };
        if let Some(row) = row {
            self.put_item(id, &ItemRow { claimed: true, ..row });
            let (key, row) = (claim_key(id, tag), index.get().to_be_bytes());
            self.set_row(Family::Item, key.as_bytes().to_vec(), Some(row.to_vec()));
        }
        Ok(())
    }
}

impl Rules<'_> {
    /// An item as it was deposited; `None` where its deposits were erased. A deletion changes nothing of what it was.
    pub(crate) fn item(
        &mut self,
        overlay: &Overlay<'_>,
        row: &ItemRow,
        id: &str,
    ) -> Result<Option<DepositedItem>, Stop> {
        let (first, last) = (row.first, row.last);
        let by = self.deposited_at(overlay, first, id)?;
        if first == last {
            return Ok(by);
        }
        let Some(last_one) = self.deposited_at(overlay, last, id)?.or_else(|| by.clone()) else { return Ok(None) };
        // Of an erased first deposit nobody knows the depositor.
        let (depositor, organisation) = by.map_or((None, None), |by| (by.depositor, by.organisation));
        Ok(Some(DepositedItem { depositor, organisation, ..last_one }))
    }

    /// The deposit under this id by the record of entry `index`; `None` where that was erased.
    pub(crate) fn deposited_at(
        &mut self,
        overlay: &Overlay<'_>,
        index: LeafIndex,
        id: &str,
    ) -> Result<Option<DepositedItem>, Stop> {
        let items = self.deposit(overlay, index)?;
        // Of an item that one record names twice, the last is meant.
        Ok(items.and_then(|items| items.iter().rev().find(|item| item.id == id).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_written_and_only_whole() {
        let row = ItemRow { tag: [7; TAG_LEN], first: LeafIndex(3), last: LeafIndex(9), claimed: false };
        for row in [row, ItemRow { claimed: true, ..row }] {
            assert_eq!(ItemRow::decode(&row.encode()), Some(row));
            assert_eq!(ItemRow::decode(&row.encode()[2..]), None);
            assert_eq!(ItemRow::decode(&[&row.encode()[..], &[2]].concat()), None);
        }
    }
}
