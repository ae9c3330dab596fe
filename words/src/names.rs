//! Names in a sentence: of who acted, of documents, of who proved a login.

use sillage_proto::v1;
use sillage_rules::consent::name::{AUTHOR_SYSTEM, PATIENT_SYSTEM};

use super::clean::clean;
use super::{Lang, words};

/// Items that a sentence names; the others are counted.
pub(super) const ITEMS_NAMED_MAX: usize = 3;

/// The actor: a name, and in brackets the details that help to place it.
pub fn who(record: &v1::Record, lang: Lang) -> String {
    let unknown = words::pick(lang, "une personne non identifiée", "someone who is not named");
    let Some(actor) = &record.actor else {
        let software = record.automated.as_ref().map(|a| clean(&a.software));
        return software.filter(|s| !s.is_empty()).unwrap_or_else(|| unknown.to_owned());
    };
    let mut notes = Vec::new();
    if !actor.role.is_empty() {
        notes.push(words::role(&clean(&actor.role), lang));
    }
    if !actor.organisation.is_empty() {
        let structure = words::pick(lang, "structure", "organisation");
        notes.push(format!("{structure} {}", clean(&actor.organisation)));
    }
    if record.automated.is_some() {
        notes.push(words::pick(lang, "traitement automatique", "automated").to_owned());
    }
    let label = Some(short_who(actor, lang)).filter(|label| !label.is_empty()).unwrap_or_else(|| unknown.to_owned());
    if notes.is_empty() { label } else { format!("{label} ({})", notes.join(", ")) }
}

/// An actor's name alone; empty where it has none.
pub fn short_who(actor: &v1::Actor, lang: Lang) -> String {
    match (actor.label.as_str(), actor.system.as_str()) {
        ("", PATIENT_SYSTEM) => words::pick(lang, "le patient", "the patient").to_owned(),
        // Parties of the log have a name on whatever the ledger records of them.
        ("", AUTHOR_SYSTEM) => words::pick(lang, "l'autorité du registre", "the authority of the log").to_owned(),
        ("", _) => clean(&actor.id),
        (label, _) => clean(label),
    }
}

/// One document: its label, its category, or its id.
pub fn item_name(item: &v1::Item, lang: Lang) -> String {
    let category = words::category(&clean(&item.category), lang);
    let first = [clean(&item.label), category.clone(), clean(&item.id)].into_iter().find(|t| !t.is_empty());
    let named = first.unwrap_or_default();
    // "Ordonnance (ordonnance)" would tell nothing twice.
    match category.is_empty() || named.to_lowercase().starts_with(&category.to_lowercase()) {
        true => named,
        false => format!("{named} ({category})"),
    }
}

/// The items that were read or sent: `label (category)`, three at most.
pub fn items(record: &v1::Record, lang: Lang) -> String {
    let mut named: Vec<String> = record.items.iter().take(ITEMS_NAMED_MAX).map(|item| item_name(item, lang)).collect();
    let rest = record.items.len().saturating_sub(ITEMS_NAMED_MAX);
    if rest > 0 {
        named.push(match lang {
            Lang::Fr => format!("et {rest} de plus"),
            Lang::En => format!("and {rest} more"),
        });
    }
    named.join(", ")
}

/// *prouvé par une connexion avec FranceConnect+, niveau substantiel*
pub(super) fn by_login(issuer: &str, level: &str, lang: Lang) -> String {
    let level = match (level, lang) {
        ("high", Lang::Fr) => ", niveau élevé",
        ("high", Lang::En) => ", level high",
        ("substantial", Lang::Fr) => ", niveau substantiel",
        ("substantial", Lang::En) => ", level substantial",
        _ => "",
    };
    match lang {
        Lang::Fr => format!("prouvé par une connexion avec {issuer}{level}"),
        Lang::En => format!("proven by login with {issuer}{level}"),
    }
}
