//! The ledger's decision on a request, in words: the question, the documents given and refused, and why.

use sillage_proto::v1;
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::line::decided_items;

use super::clean::clean;
use super::names::{by_login, item_name, who};
use super::phrase::{action, list};
use super::{Lang, time, vocabulary, words};

/// Documents that are named for one reason; the others are counted.
const NAMED_MAX: usize = 3;

/// A decision, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The asker.
    pub actor: Option<v1::Actor>,
    /// When it was decided, ms.
    pub at_ms: u64,
    /// read, search, …
    pub action: String,
    /// Why.
    pub purpose: String,
    /// Each document, whether it was given, and why: a token.
    pub outcomes: Vec<(v1::Item, bool, String)>,
    /// The actor's obligations, as tokens.
    pub obligations: Vec<String>,
    /// How it was established who asked, where the log says it.
    pub asker: v1::DecisionAsker,
}

impl From<&DecisionRecord> for Decision {
    fn from(record: &DecisionRecord) -> Self {
        let (actor, outcomes) = (record.actor_part(), &record.private_part().outcomes);
        let outcomes = decided_items(record).into_iter().zip(outcomes);
        Self {
            actor: actor.actor.clone(),
            at_ms: actor.decided_at_ms,
            action: actor.action.clone(),
            purpose: actor.purpose.clone(),
            outcomes: outcomes.map(|(item, outcome)| (item, outcome.permit, outcome.reason.clone())).collect(),
            obligations: actor.obligations.clone(),
            asker: record.private_part().asker.clone().unwrap_or_default(),
        }
    }
}

/// The decision as a patient reads it, without its full stop:
///
/// *Le 2 mars 2026 à 10:00:00 (heure de Paris, CET), Dr Claire Dubois (médecin) a demandé à consulter 2 documents, pour des soins ;
/// accordé : compte rendu (membre de l'équipe de soins) ; refusé : biologie (document masqué)*
pub fn sentence(decision: &Decision, lang: Lang) -> String {
    let asker = v1::Record { actor: decision.actor.clone(), ..v1::Record::default() };
    let (when, who) = (time::spoken(decision.at_ms, lang), who(&asker, lang));
    let (doing, count) = (action(&clean(&decision.action), lang), decision.outcomes.len());
    let mut out = match (lang, count) {
        (Lang::Fr, 1) => format!("Le {when}, {who} a demandé à {doing} un document"),
        (Lang::Fr, _) => format!("Le {when}, {who} a demandé à {doing} {count} documents"),
        (Lang::En, 1) => format!("On {when}, {who} asked to {doing} one document"),
        (Lang::En, _) => format!("On {when}, {who} asked to {doing} {count} documents"),
    };
    let purpose = words::purpose(&clean(&decision.purpose), lang);
    if !purpose.is_empty() {
        out += &format!(", {purpose}");
    }
    let asker = &decision.asker;
    if !asker.issuer.is_empty() {
        out += &format!(", {}", by_login(&clean(&asker.issuer), &asker.eidas_level, lang));
    }
    let semicolon = words::pick(lang, " ;", ";");
    for (permit, fr, en) in [(true, "accordé :", "granted:"), (false, "refusé :", "refused:")] {
        let groups = groups(decision, permit, lang);
        if !groups.is_empty() {
            out += &format!("{semicolon} {} {}", words::pick(lang, fr, en), groups.join(", "));
        }
    }
    let owed: Vec<String> = decision.obligations.iter().map(|token| obligation(&clean(token), lang)).collect();
    if !owed.is_empty() {
        let (owes, owed) = (words::pick(lang, "à faire :", "to do:"), list(&owed, lang));
        out += &format!("{semicolon} {owes} {owed}");
    }
    out
}

/// The documents with this outcome, those of one reason together: `compte rendu, biologie (document masqué)`.
fn groups(decision: &Decision, permit: bool, lang: Lang) -> Vec<String> {
    let mut out: Vec<(&str, Vec<String>)> = Vec::new();
    for (item, _, token) in decision.outcomes.iter().filter(|(_, permitted, _)| *permitted == permit) {
        let name = item_name(item, lang);
        match out.iter_mut().find(|(known, _)| known == token) {
            Some((_, names)) => names.push(name),
            None => out.push((token, vec![name])),
        }
    }
    let group = |(token, names): (&str, Vec<String>)| {
        let rest = names.len().saturating_sub(NAMED_MAX);
        let mut named: Vec<String> = names.into_iter().take(NAMED_MAX).collect();
        if rest > 0 {
            named.push(match lang {
                Lang::Fr => format!("{rest} de plus"),
                Lang::En => format!("{rest} more"),
            });
        }
        format!("{} ({})", list(&named, lang), reason(&clean(token), lang))
    };
    out.into_iter().map(group).collect()
}

/// Why, in plain words.
pub fn reason(token: &str, lang: Lang) -> String {
    vocabulary::word(vocabulary::REASONS, token, lang)
}

/// An obligation that comes with a permission, in plain words.
pub fn obligation(token: &str, lang: Lang) -> String {
    vocabulary::word(vocabulary::OBLIGATIONS, token, lang)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::decide::{Obligation, Reason};

    fn decision() -> Decision {
        let item =
            |id: &str, category: &str| v1::Item { id: id.into(), category: category.into(), ..v1::Item::default() };
        Decision {
            actor: Some(v1::Actor {
                id: "10100534436".into(),
                role: "physician".into(),
                label: "Dr Claire Dubois".into(),
                ..v1::Actor::default()
            }),
            at_ms: 1_772_442_000_000,
            action: "read".into(),
            purpose: "TREAT".into(),
            outcomes: vec![
                (item("d1", "REPORT"), true, "CARE_TEAM".into()),
                (item("d2", "LAB"), false, "MASKED".into()),
                (item("d3", ""), false, "MASKED".into()),
            ],
            obligations: Vec::new(),
            asker: v1::DecisionAsker::default(),
        }
    }

    #[test]
    fn a_patient_reads_what_was_given_what_was_refused_and_why() {
        assert_eq!(
            sentence(&decision(), Lang::Fr),
            "Le 2 mars 2026 à 10:00:00 (heure de Paris, CET), Dr Claire Dubois (médecin) a demandé à consulter 3 documents, \
             pour des soins ; accordé : compte rendu (membre de l'équipe de soins) ; refusé : biologie et d3 (document masqué)"
        );
        let mut urgent = decision();
        urgent.outcomes.truncate(1);
        urgent.outcomes[0].2 = "BREAK_GLASS".into();
        urgent.purpose = "BTG".into();
        urgent.obligations = vec!["JUSTIFY".into(), "REVIEW".into()];
        assert_eq!(
            sentence(&urgent, Lang::En),
            "On 2 March 2026 at 10:00:00 (Paris time, CET), Dr Claire Dubois (physician) asked to read one document, in an \
             emergency (break-glass); granted: report (emergency access); to do: justify the access and have the access reviewed"
        );
    }

    #[test]
    fn every_reason_and_obligation_has_words_in_both_languages() {
        for token in Reason::ALL.iter().map(|reason| reason.as_str()) {
            assert_ne!(reason(token, Lang::Fr), token);
            assert_ne!(reason(token, Lang::En), token);
        }
        for token in Obligation::ALL.iter().map(|obligation| obligation.as_str()) {
            assert_ne!(obligation(token, Lang::Fr), token);
            assert_ne!(obligation(token, Lang::En), token);
        }
    }
}
