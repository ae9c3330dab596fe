//! A decision's receipt: what an actor may do, signed by a node, and checked without network.
//!
//! ```text
//! "sillage-receipt/v1\n" ‖ u8 len ‖ origin ‖ u8 count (1 or 2) ‖ receipt*
//! receipt = u8 alg ‖ key_id[32] ‖ u64 index ‖ u64 time_ms ‖ signature[64] ‖ salt_a[16] ‖ private_hash[32] ‖ u32 length ‖ actor part
//! ```
//!
//! It opens the actor's part alone. The other part, with the true reasons, stays closed behind its hash: whoever is shown a
//! receipt learns what was permitted, and of what was not, nothing.

use prost::Message;
use sillage_proof::batch::Origin;
use sillage_proof::hash::Hash;
use sillage_proof::keys::{ALG_ED25519, KeyId, PublicKey, SIGNATURE_LEN};
use sillage_proto::v1;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::message::DecisionMessage;
use sillage_rules::decide::record::ActorView;
use sillage_rules::limits::{RECORD_BYTES_MAX, SALT_BYTES};

use crate::checks::failed;
use crate::error::ClientError;

/// The first line of a file.
pub const HEAD: &[u8] = b"sillage-receipt/v1\n";

/// One decision that is on record, as the actor may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The message that the node signed.
    pub message: DecisionMessage,
    /// The actor's part, and what ties it to the message.
    pub view: ActorView,
    /// The node's signature.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Receipt {
    /// Reads what a node answered. Nothing of it is verified yet.
    ///
    /// # Errors
    /// [`ClientError::Check`] when it is no receipt.
    pub fn from_answer(answer: v1::DecisionReceipt, origin: &Origin) -> Result<Self, ClientError> {
        let odd = |what: &str| failed(&format!("the receipt of a decision has {what}: ask another node"));
        let salt_a = answer.salt.as_slice().try_into().map_err(|_| odd("no salt"))?;
        let private_hash = Hash::from_slice(&answer.private_hash).map_err(|_| odd("no hash of its other part"))?;
        let view = ActorView::parse(&answer.actor_part, salt_a, private_hash).map_err(|e| odd(&e.to_string()))?;
        let message = DecisionMessage {
            key_id: KeyId::from_slice(&answer.key_id).map_err(|_| odd("no key"))?,
            origin: origin.clone(),
            index: answer.index.into(),
            time: answer.time_ms.into(),
            tag: answer.tag.as_slice().try_into().map_err(|_| odd("no tag"))?,
            record_hash: Hash::from_slice(&answer.record_hash).map_err(|_| odd("no hash"))?,
        };
        let signature = answer.signature.as_slice().try_into().map_err(|_| odd("no signature"))?;
        Ok(Self { message, view, signature })
    }

    /// Verifies that a node signed this decision, and that the actor's part is the one that it signed.
    ///
    /// # Errors
    /// [`ClientError::Check`].
    pub fn verify(&self, keys: &[PublicKey]) -> Result<(), ClientError> {
        let key = keys.iter().find(|key| key.key_id() == self.message.key_id);
        let key = key.ok_or_else(|| failed("the receipt is signed by no node that is trusted here"))?;
        self.view.verify(&self.message, key, &self.signature).map_err(|error| {
            failed(&format!("the receipt does not hold ({error}): nothing may be given out on it, keep it as evidence"))
        })
    }

    /// Tells whether it answers this request: the same bytes, one of its tags, and no document that wasn't asked for.
    ///
    /// # Errors
    /// [`ClientError::Check`].
    pub fn is_about(&self, request: &ParsedRequest) -> Result<(), ClientError> {
        let actor = &self.view.actor;
        let asked = |id: &String| request.items().iter().any(|item| item.id == *id);
        let tag = self.message.tag == *request.tag() || request.secret_tag() == Some(&self.message.tag);
        let same = actor.request_hash == request.hash().as_ref()
            && actor.actor == request.message().actor
            && actor.action == request.message().action
            && actor.purpose == request.message().purpose
            && actor.told.iter().all(asked)
            && tag;
        match same {
            true => Ok(()),
            false => Err(failed("the receipt is about another request than was signed: ask another node")),
        }
    }
}

/// The receipts of one answer, as they are kept and handed on.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptFile {
    /// The log.
    pub origin: Origin,
    /// One, or two where documents under both tags were permitted.
    pub receipts: Vec<Receipt>,
}

/// Tells whether the bytes begin as a receipt file does.
pub fn is_receipt(bytes: &[u8]) -> bool {
    bytes.starts_with(HEAD)
}

impl ReceiptFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = HEAD.to_vec();
        let origin = self.origin.as_str().as_bytes();
        out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
        out.extend(origin);
        out.push(u8::try_from(self.receipts.len()).expect("an answer has one receipt or two"));
        for receipt in &self.receipts {
            let part = receipt.view.actor.encode_to_vec();
            out.push(ALG_ED25519);
            out.extend(receipt.message.key_id.as_bytes());
            out.extend(receipt.message.index.get().to_be_bytes());
            out.extend(receipt.message.time.get().to_be_bytes());
            out.extend(receipt.signature);
            out.extend(receipt.view.salt_a);
            out.extend(receipt.view.private_hash.as_ref());
            out.extend(u32::try_from(part.len()).expect("a part is far below 4 GiB").to_be_bytes());
            out.extend(part);
        }
        out
    }

    /// Reads exactly what [`ReceiptFile::encode`] writes. Nothing of it is verified yet.
    ///
    /// # Errors
    /// Why it is no receipt file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        let mut rest = bytes.strip_prefix(HEAD).ok_or_else(|| failed("not a receipt file (sillage-receipt/v1)"))?;
        let [len] = take::<1>(&mut rest)?;
        let origin = take_bytes(&mut rest, len.into())?;
        let origin = std::str::from_utf8(origin).ok().and_then(|name| Origin::new(name).ok());
        let origin = origin.ok_or_else(|| failed("the receipt file names no log"))?;
        let [count] = take::<1>(&mut rest)?;
        if !(1..=2).contains(&count) {
            return Err(failed("a receipt file holds one receipt or two"));
        }
        let mut receipts = Vec::with_capacity(count.into());
        for _ in 0..count {
            receipts.push(parse_one(&mut rest, &origin)?);
        }
        match rest.is_empty() {
            true => Ok(Self { origin, receipts }),
            false => Err(failed("the receipt file has bytes left over")),
        }
    }

    /// Verifies every receipt.
    ///
    /// # Errors
    /// As for [`Receipt::verify`]; two receipts of different requests.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<(), ClientError> {
        self.receipts.iter().try_for_each(|receipt| receipt.verify(keys))?;
        let one = |receipt: &Receipt| receipt.view.actor.request_hash.clone();
        match self.receipts.windows(2).all(|pair| one(&pair[0]) == one(&pair[1])) {
            true => Ok(()),
            false => Err(failed("the receipts of this file answer different requests")),
        }
    }
}

fn parse_one(rest: &mut &[u8], origin: &Origin) -> Result<Receipt, ClientError> {
    let [alg] = take::<1>(rest)?;
    if alg != ALG_ED25519 {
        return Err(failed("the receipt's signature is of an algorithm that this version does not know"));
    }
    let key_id = KeyId::from(take::<32>(rest)?);
    let (index, time) = (u64::from_be_bytes(take(rest)?), u64::from_be_bytes(take(rest)?));
    let signature = take(rest)?;
    let salt_a: [u8; SALT_BYTES] = take(rest)?;
    let private_hash = Hash::from_bytes(take(rest)?);
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).unwrap_or(usize::MAX);
    if length > RECORD_BYTES_MAX {
        return Err(failed("the actor's part of the receipt is longer than any can be"));
    }
    let part = take_bytes(rest, length)?;
    let view = ActorView::parse(part, salt_a, private_hash)
        .map_err(|error| failed(&format!("the receipt can't be read: {error}")))?;
    let tag = view.actor.tag.as_slice().try_into().map_err(|_| failed("the receipt has no tag"))?;
    let message = DecisionMessage {
        key_id,
        origin: origin.clone(),
        index: index.into(),
        time: time.into(),
        tag,
        record_hash: view.record_hash(),
    };
    Ok(Receipt { message, view, signature })
}

fn take_bytes<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], ClientError> {
    let (head, tail) = rest.split_at_checked(len).ok_or_else(|| failed("the receipt file is cut short"))?;
    *rest = tail;
    Ok(head)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ClientError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| failed("the receipt file is cut short"))?;
    *rest = tail;
    Ok(*head)
}
