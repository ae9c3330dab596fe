//! The facts about an item: those recorded at its deposit, and the requester's own statements if there was none.

use sillage_proto::v1;

use super::Decision;
use crate::codes::Code;
use crate::consent::{ActorName, DepositedItem, PatientState, RuleRefusal};

/// The facts of an item that decisions need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemFacts {
    /// Its id.
    pub id: String,
    /// Its category.
    pub category: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// The depositor, where that is known.
    pub depositor: Option<ActorName>,
    /// The structure for which the depositor acted.
    pub depositor_organisation: Option<String>,
    /// On record as another patient's.
    pub other_patient: bool,
    /// Deposited under the patient's secret tag.
    pub secret: bool,
    /// The request says otherwise than what was recorded, which counts.
    pub contradicted: bool,
}

impl ItemFacts {
    /// The known facts of an item that a request names. The facts of its deposit count; the request may repeat them, and
    /// states them if no deposit is on record. Whether it says otherwise is for [`check_contradictions`].
    pub fn of(item: &v1::Item, open: &PatientState, secret: Option<&PatientState>, other_patient: bool) -> Self {
        let kept_apart = secret.and_then(|secret| secret.deposit(&item.id));
        let said = Self::said(item);
        let plain = open.deposit(&item.id);
        let Some(deposit) = kept_apart.or(plain) else {
            return Self { other_patient, ..said };
        };
        // Under both tags, and nothing says which came first: nobody's, unless they agree.
        let agreed = kept_apart.zip(plain).is_none_or(|(one, other)| one.depositor == other.depositor);
        let by = agreed.then_some(deposit);
        Self {
            id: item.id.clone(),
            category: deposit.category.clone(),
            labels: deposit.labels.clone(),
            depositor: by.and_then(|by| by.depositor.clone()),
            depositor_organisation: by.and_then(|by| by.organisation.clone()),
            other_patient,
            secret: kept_apart.is_some(),
            contradicted: contradicts(&said, deposit),
        }
    }

    /// The statements of a request about an item.
    fn said(item: &v1::Item) -> Self {
        Self {
            id: item.id.clone(),
            category: item.category.clone(),
            labels: item.labels.clone(),
            depositor: item.depositor.parse().ok(),
            ..Self::default()
        }
    }
}

/// Refuses a request that says of an item what isn't so, where its actor may know of the item. Of one that is hidden from
/// the actor nothing is said: it is denied like one that isn't there, and that is put on record. Nor is anything said to
/// who may deposit it only because anyone may: what they write says what it is to be.
///
/// # Errors
/// `ITEM_CONTRADICTS`.
pub fn check_contradictions(decision: &Decision) -> Result<(), RuleRefusal> {
    match decision.items.iter().position(|decided| decided.contradicted) {
        None => Ok(()),
        Some(at) => {
            let message = format!(
                "items[{at}]: what the request says of this item (its category, labels or depositor) isn't what was recorded when \
                 it was deposited: send what the record store holds, or the id alone"
            );
            Err(RuleRefusal { code: Code::ItemContradicts, message })
        }
    }
}

fn contradicts(said: &ItemFacts, deposit: &DepositedItem) -> bool {
    let sorted = |labels: &[String]| {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        labels.dedup();
        labels
    };
    let category = !said.category.is_empty() && said.category != deposit.category;
    let labels = !said.labels.is_empty() && sorted(&said.labels) != sorted(&deposit.labels);
    let depositor = said.depositor.is_some() && deposit.depositor.is_some() && said.depositor != deposit.depositor;
    category || labels || depositor
}
