//! The checker: what clients saw, held against the trace.
//!
//! It decides everything again from the records, with the code that decides in the ledger; and it knows nothing of that code
//! where it asks the question that matters: was anything permitted by a consent whose revocation had been acknowledged
//! before the question was sent?

use super::{Account, Asked};
use crate::audit::Finding;
use sillage_client::checks::CheckedLine;
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_rules::consent::{Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::record::{DecisionRecord, consulted};
use sillage_rules::decide::{Decision, ItemFacts, ParsedRequest, Request, check_contradictions, decide};
use std::collections::BTreeMap;

/// A line of a trace, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Line {
    /// Place in the log.
    pub index: LeafIndex,
    /// The hash in its entry.
    pub record_hash: Hash,
    /// Its content.
    pub what: What,
}

/// The content of a line.
#[derive(Clone, Debug)]
pub enum What {
    /// Something that decides from then on.
    Rule(Box<(Event, Meta)>),
    /// A decision.
    Decision(Box<DecisionRecord>),
    /// Anything else.
    Other,
}

impl Line {
    /// Takes up a line that fits itself.
    ///
    /// # Errors
    /// When a record is on record that the rules can't read.
    pub fn of(line: CheckedLine) -> Result<Self, Finding> {
        let index = line.entry.index;
        let odd = |e: sillage_rules::record::RecordError| Finding(format!("entry {index} can't be understood: {e}"));
        let what = match (line.record, line.decision) {
            (_, Some(decision)) => What::Decision(Box::new(decision)),
            (Some(record), None) => match Event::of(&record).map_err(odd)? {
                Some(event) => {
                    let meta = Meta::of(&record, index, line.entry.time, false, false).map_err(odd)?;
                    What::Rule(Box::new((event, meta)))
                }
                None => What::Other,
            },
            (None, None) => What::Other,
        };
        Ok(Self { index, record_hash: line.entry.record_hash, what })
    }
}

/// The decisions of a trace, and where each request was decided.
#[derive(Default)]
struct Decided<'a> {
    at: BTreeMap<LeafIndex, (&'a Line, &'a DecisionRecord)>,
    of: BTreeMap<&'a [u8], LeafIndex>,
}

impl Account {
    /// Compares with the patient's trace under the open tag, oldest line first, under the default policy. Gives the number
    /// of decisions in it.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn judge(&self, lines: &[Line]) -> Result<usize, Finding> {
        let decided = self.replay(lines)?;
        for asked in &self.asked {
            self.on_record(asked, &decided)?;
            self.on_consent(asked, &decided)?;
        }
        Ok(decided.at.len())
    }

    /// Walks the trace and decides again what was decided; no request has two answers.
    fn replay<'a>(&self, lines: &'a [Line]) -> Result<Decided<'a>, Finding> {
        let (mut state, mut decided) = (PatientState::default(), Decided::default());
        let mut ended = BTreeMap::new();
        for line in lines {
            match &line.what {
                What::Rule(told) => {
                    let (event, meta) = told.as_ref();
                    if let Event::Revoked { consent } = event
                        && let Some(entry) = state.directive(consent)
                    {
                        ended.insert(entry.stamp.index, line.index);
                    }
                    state.apply(event, meta);
                }
                What::Decision(record) => {
                    let hash = Hash::from_slice(&record.actor_part().request_hash);
                    let asked = hash.ok().and_then(|hash| self.requests.get(&hash));
                    let unasked = || Finding(format!("decision {} is on a request that nobody sent", line.index));
                    let asked = asked.ok_or_else(unasked)?;
                    again(line.index, asked, record, &state)?;
                    let permitting = record.private_part().outcomes.iter().filter(|outcome| outcome.permit);
                    if let Some(old) = permitting.flat_map(consulted).find(|directive| ended.contains_key(directive)) {
                        return Err(Finding(format!(
                            "decision {} permits on consent {old}, which entry {} had revoked",
                            line.index, ended[&old]
                        )));
                    }
                    let hash = record.actor_part().request_hash.as_slice();
                    if let Some(first) = decided.of.insert(hash, line.index) {
                        return Err(Finding(format!(
                            "one request was decided twice, at entries {first} and {}",
                            line.index
                        )));
                    }
                    decided.at.insert(line.index, (line, record));
                }
                What::Other => {}
            }
        }
        Ok(decided)
    }

    /// Checks that each answer is on record, once, where the receipt says.
    fn on_record(&self, asked: &Asked, decided: &Decided<'_>) -> Result<(), Finding> {
        for receipt in &asked.receipts {
            let index = receipt.message.index;
            let Some((line, record)) = decided.at.get(&index) else {
                return Err(Finding(format!("the acknowledged decision at entry {index} is not in the trace")));
            };
            let same = line.record_hash == receipt.message.record_hash
                && receipt.view.record_hash() == receipt.message.record_hash
                && record.for_actor() == receipt.view;
            if !same {
                return Err(Finding(format!("entry {index} is another decision than the one acknowledged there")));
            }
        }
        Ok(())
    }

    /// Every permission rests on consents that held, as far as anyone could know who asked then.
    fn on_consent(&self, asked: &Asked, decided: &Decided<'_>) -> Result<(), Finding> {
        for receipt in &asked.receipts {
            let index = receipt.message.index;
            let Some((_, record)) = decided.at.get(&index) else { continue };
            let permitting = record.private_part().outcomes.iter().filter(|outcome| outcome.permit);
            for directive in permitting.flat_map(consulted) {
                let Some(consent) = self.consents.get(&directive) else { continue };
                if consent.revoked.is_some_and(|revoked| revoked < asked.sent) {
                    return Err(Finding(format!(
                        "decision {index} permits on consent {directive}, revoked and acknowledged before it was asked"
                    )));
                }
            }
        }
        // And the other way round: nobody waits for a consent that is on record.
        let held = |consent: &super::Consent| {
            consent.grantee == asked.actor
                && consent.granted < asked.sent
                && consent.revoking.is_none_or(|revoking| asked.answered < revoking)
        };
        match asked.is_permitted() || !self.consents.values().any(held) {
            true => Ok(()),
            false => Err(Finding(format!(
                "decision {} refuses although a consent to who asked was acknowledged before, and held",
                asked.receipts.first().map_or(0, |receipt| receipt.message.index.get())
            ))),
        }
    }
}

/// Decides the request again on what was recorded before.
fn again(
    index: LeafIndex,
    asked: &ParsedRequest,
    record: &DecisionRecord,
    state: &PatientState,
) -> Result<(), Finding> {
    let (said, private) = (record.actor_part(), record.private_part());
    if private.as_of_index != index.get() {
        return Err(Finding(format!("decision {index} says that it was decided as of {}", private.as_of_index)));
    }
    if !private.request.is_empty() {
        return Err(Finding(format!("decision {index} shows representatives a request that names the secret tag")));
    }
    let items: Vec<ItemFacts> = asked.items().iter().map(|item| ItemFacts::of(item, state, None, false)).collect();
    let request = Request {
        actor: asked.actor().clone(),
        action: asked.action(),
        purpose: asked.purpose().to_owned(),
        at: said.decided_at_ms.into(),
        items,
        word_of: None,
    };
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: true,
        across_servers: true,
    };
    let decision = decide(&env, state, None, &request);
    check_contradictions(&decision)
        .map_err(|e| Finding(format!("decision {index} is on documents that are others: {}", e.message)))?;
    match same(record, &decision) {
        true => Ok(()),
        false => Err(Finding(format!("decision {index} does not follow from the records before it"))),
    }
}

fn same(record: &DecisionRecord, decision: &Decision) -> bool {
    let (said, private) = (record.actor_part(), record.private_part());
    let outcomes =
        private.outcomes.iter().map(|o| (o.id.as_str(), o.permit, o.reason.as_str(), consulted(o).collect()));
    let own = decision.items.iter().map(|i| (i.id.as_str(), i.permit, i.reason.as_str(), i.consulted.clone()));
    let outcomes: Vec<(&str, bool, &str, Vec<LeafIndex>)> = outcomes.collect();
    outcomes == own.collect::<Vec<_>>()
        && said.permitted == decision.permitted()
        && said.told == decision.told()
        && said.obligations == decision.obligations.iter().map(|o| o.as_str().to_owned()).collect::<Vec<_>>()
}
