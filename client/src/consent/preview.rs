//! The effect of a change, before anything is signed: whether the ledger would take it, who gains what, and who loses
//! what.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_rules::codes::Code;
use sillage_rules::consent::{Action, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::Reason;
use sillage_rules::will::binding::record_digest;

use super::change::{Change, meta};
use super::effective::{Why, because, doing, labels, named, professions, what_json, who, who_json};
use super::known::{Known, Side};
use super::rights::{Questions, Right, What, Who, World, ends};
use super::stays_open::{About, StaysOpen, stays_open};
use super::who::Acting;
use crate::error::ClientError;
use sillage_words::time::{rfc3339, spoken};
use sillage_words::{Lang, words};

/// A gain or a loss of somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The person or group.
    pub who: Who,
    /// The purpose.
    pub purpose: String,
    /// Actions that are possible then, and weren't before; or the other way round.
    pub actions: Vec<Action>,
    /// With what.
    pub whats: Vec<What>,
    /// True if it is gained.
    pub gained: bool,
    /// Why it is so afterwards.
    pub reason: Reason,
    /// When that ends, ms; none: it doesn't by itself.
    pub until_ms: Option<u64>,
}

/// A change that was only tried.
#[derive(Debug, Clone)]
pub struct Preview {
    /// When the differences show: now, or when the change begins to hold.
    pub at_ms: u64,
    /// True if that is later than now.
    pub later: bool,
    /// Gains and losses.
    pub differences: Vec<Difference>,
    /// The access that stays open all the same.
    pub stays_open: Vec<StaysOpen>,
    labels: std::collections::BTreeMap<sillage_rules::consent::ActorName, String>,
}

/// How a record will be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// By the authority.
    pub authority: bool,
    /// With the patient's own key.
    pub own_key: bool,
    /// With the login of the patient's side.
    pub login: bool,
}

/// Tries a change on what is known.
///
/// # Errors
/// With the ledger's own code where it would refuse the record.
pub fn preview(
    known: &Known,
    side: &Side,
    change: &Change,
    acting: &Acting,
    now_ms: u64,
    signs: Signs,
) -> Result<Preview, ClientError> {
    // The ledger's time goes on while nobody writes.
    let now_ms = now_ms.max(known.as_of_ms);
    let (record, mut event) = change.check(acting, now_ms, Some(side.tag.as_bytes()))?;
    let mut meta = meta(&record, (known.as_of_size, now_ms), signs.authority, signs.own_key)?;
    if signs.login {
        meta.will.get_or_insert_with(|| record_digest(record.message()));
    }
    if let Event::BreakGlassOpened(opened) = &mut event {
        opened.bound(&known.policy, meta.time, None);
    }
    known.with_env(|env| {
        side.state
            .admit(&event, &meta, env)
            .map_err(|refusal| ClientError::rejected(refusal.code.as_str(), refusal.message))?;
        let mut changed = side.state.clone();
        changed.apply(&event, &meta);
        let in_secret = known.secret.as_ref().is_some_and(|secret| secret.tag == side.tag);
        let at_ms = begins(&event).map_or(now_ms, |begins| begins.max(now_ms));
        let at = LedgerTimeMs(at_ms);
        let secret = known.secret.as_ref().map(|secret| &secret.state);
        let (open_after, secret_after): (&PatientState, Option<&PatientState>) = match in_secret {
            true => (&known.open.state, Some(&changed)),
            false => (&changed, secret),
        };
        let before = World { env, open: &known.open.state, secret, at };
        let after = World { env, open: open_after, secret: secret_after, at };
        let questions = Questions::of(&[&before, &after], &professions(known));
        let ends = ends(std::iter::once(open_after).chain(secret_after));
        let differences = differences(&questions, &before.ask(&questions), &after.ask(&questions), &ends);
        let stays_open = stays_open(&event, signs.login, Some(About { known, side }));
        Ok(Preview { at_ms, later: at_ms > now_ms, differences, stays_open, labels: labels(known) })
    })
}

/// Codes of what is wrong with a change in itself, whatever is on record.
const IN_ITSELF: [Code; 5] =
    [Code::PermitAnyone, Code::ActionsMissing, Code::UntilMissing, Code::EmptyPeriod, Code::ReasonMissing];

/// The refusal that the ledger would give whatever is on record. Nothing is asked for it.
///
/// # Errors
/// With the ledger's own code.
pub fn refused_anyway(event: &Event, meta: &Meta) -> Result<(), ClientError> {
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: true,
        across_servers: true,
    };
    match PatientState::default().admit(event, meta, &env) {
        Err(refusal) if IN_ITSELF.contains(&refusal.code) => {
            Err(ClientError::rejected(refusal.code.as_str(), refusal.message))
        }
        _ => Ok(()),
    }
}

/// When a change begins to hold, where it says so.
fn begins(event: &Event) -> Option<u64> {
    match event {
        Event::Directive(directive) => directive.provision.from.map(|from| from.0),
        Event::Represented(representation) => representation.from.map(|from| from.0),
        _ => None,
    }
}

/// Tells whether the same changes for `who`, of whom `right` is a variant.
fn is_said_of(who: &Who, right: &Right, action: Action, at: usize, before: &[Right], after: &[Right]) -> bool {
    let permits = |rights: &[Right]| {
        let same = |one: &&Right| one.who == *who && one.purpose == right.purpose && one.actions.contains(&action);
        rights.iter().find(same).and_then(|one| one.found[at]).map(|found| found.reason.permits())
    };
    let is = right.found[at].map(|found| found.reason.permits());
    permits(after) == is && permits(before).is_some_and(|was| Some(was) != is)
}

/// The findings before and after, for each question on which that differs.
fn differences(
    questions: &Questions,
    before: &[Right],
    after: &[Right],
    ends: &BTreeMap<LeafIndex, u64>,
) -> Vec<Difference> {
    let mut out: Vec<Difference> = Vec::new();
    for right in after {
        for action in &right.actions {
            let same =
                |old: &&Right| old.who == right.who && old.purpose == right.purpose && old.actions.contains(action);
            let Some(old) = before.iter().find(same) else { continue };
            let changed = |at: usize| {
                let (was, is) = (old.found[at]?, right.found[at]?);
                (was.reason.permits() != is.reason.permits()).then_some(is.reason)
            };
            let all = |what: &What, permits: bool| {
                let at = questions.samples.iter().position(|sample| sample.what == *what);
                at.and_then(changed).is_some_and(|reason| reason.permits() == permits)
            };
            for (at, sample) in questions.samples.iter().enumerate() {
                let Some(reason) = changed(at) else { continue };
                // What changes for somebody whatever their structure needs no saying of each structure.
                if right.of.iter().any(|who| is_said_of(who, right, *action, at, before, after)) {
                    continue;
                }
                // What is true of the category or of the label as a whole needs no saying of both together.
                let is_said = match &sample.what {
                    What::Labelled(category, label) => {
                        [What::Category(category.clone()), What::Label(label.clone()), What::Other]
                            .iter()
                            .any(|what| all(what, reason.permits()))
                    }
                    _ => false,
                };
                if !is_said {
                    let by = right.found[at].and_then(|found| found.by);
                    let until_ms = by.and_then(|by| ends.get(&by).copied());
                    add(&mut out, right, *action, sample.what.clone(), (reason, until_ms));
                }
            }
        }
    }
    join_actions(out)
}

fn add(
    out: &mut Vec<Difference>,
    right: &Right,
    action: Action,
    what: What,
    (reason, until_ms): (Reason, Option<u64>),
) {
    let same = |known: &&mut Difference| {
        known.who == right.who
            && known.purpose == right.purpose
            && known.actions == [action]
            && (known.reason, known.until_ms) == (reason, until_ms)
    };
    match out.iter_mut().find(same) {
        Some(known) => known.whats.push(what),
        None => out.push(Difference {
            who: right.who.clone(),
            purpose: right.purpose.clone(),
            actions: vec![action],
            whats: vec![what],
            gained: reason.permits(),
            reason,
            until_ms,
        }),
    }
}

/// Differences that are alike but for the action become one.
fn join_actions(differences: Vec<Difference>) -> Vec<Difference> {
    let mut out: Vec<Difference> = Vec::new();
    for difference in differences {
        let alike = |known: &&mut Difference| {
            let Difference { who, purpose, whats, reason, until_ms, .. } = &difference;
            (&known.who, &known.purpose, &known.whats, &known.reason, &known.until_ms)
                == (who, purpose, whats, reason, until_ms)
        };
        match out.iter_mut().find(alike) {
            Some(known) => known.actions.extend(difference.actions),
            None => out.push(difference),
        }
    }
    out
}

impl Preview {
    /// As lines of text.
    pub fn lines(&self, lang: Lang) -> Vec<String> {
        let mut out =
            vec![words::pick(lang, "À l'essai, rien n'est signé.", "Only tried, nothing is signed.").to_owned()];
        if self.later {
            let when = spoken(self.at_ms, lang);
            out.push(match lang {
                Lang::Fr => format!("À partir du {when} :"),
                Lang::En => format!("From {when} on:"),
            });
        }
        if self.differences.is_empty() {
            let none = "Personne ne gagne ni ne perd d'accès à ce qui est connu aujourd'hui.";
            out.push(words::pick(lang, none, "Nobody gains or loses access to what is known today.").to_owned());
        }
        out.extend(self.differences.iter().map(|difference| self.line(difference, lang)));
        if !self.stays_open.is_empty() {
            out.push(words::pick(lang, "Ce qui reste vrai ensuite :", "This holds afterwards:").to_owned());
            out.extend(self.stays_open.iter().map(|said| format!("• {}", said.text(lang))));
        }
        out
    }

    fn line(&self, difference: &Difference, lang: Lang) -> String {
        let Difference { purpose, actions, whats, gained, .. } = difference;
        let name = who(&difference.who, &self.labels, lang);
        let whole = whats.contains(&What::Other);
        let what =
            doing(actions, if whole { None } else { Some(named(&whats.iter().collect::<Vec<_>>(), lang)) }, lang);
        let why = Why(vec![(difference.reason, difference.until_ms)]);
        let why = because(&difference.who, purpose, &why, lang);
        match (gained, lang) {
            (true, Lang::Fr) => format!("+ {name} pourra {what}{why}."),
            (false, Lang::Fr) => format!("− {name} ne pourra plus {what}{why}."),
            (true, Lang::En) => format!("+ {name} will be able to {what}{why}."),
            (false, Lang::En) => format!("− {name} will no longer be able to {what}{why}."),
        }
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let difference = |difference: &Difference| {
            json!({
                "who": who_json(&difference.who), "purpose": difference.purpose, "actions": difference.actions,
                "of": difference.whats.iter().map(what_json).collect::<Vec<_>>(), "reason": difference.reason,
                "until": difference.until_ms.map(rfc3339),
            })
        };
        let part = |gained: bool| -> Vec<Value> {
            self.differences.iter().filter(|d| d.gained == gained).map(difference).collect()
        };
        let stays_open: Vec<Value> = self.stays_open.iter().map(StaysOpen::to_json).collect();
        json!({
            "dry_run": true, "at": rfc3339(self.at_ms), "gains": part(true), "losses": part(false),
            "stays_open": stays_open,
        })
    }
}

#[cfg(test)]
#[path = "preview_tests.rs"]
mod tests;
