//! The code systems that a Consent speaks, and what of them a directive can say. `docs/fhir.md` shows these tables.

use serde_json::{Value, json};
use sillage_rules::consent::{Action, Effect};

use super::super::read::text;

/// Purposes: the value set v3-PurposeOfUse is made of codes of this system.
pub const PURPOSES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// Code system of actions.
pub const ACTIONS: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
/// Code system of actions, as the ledger names them.
pub const OUR_ACTIONS: &str = "https://sillage.example/fhir/CodeSystem/action";
/// Labels and categories, as the ledger names them: whatever the record stores use.
pub(super) const OUR_LABELS: &str = "https://sillage.example/fhir/CodeSystem/label";
pub(super) const OUR_CATEGORIES: &str = "https://sillage.example/fhir/CodeSystem/category";
/// Purposes beyond v3-PurposeOfUse.
pub(super) const OUR_PURPOSES: &str = "https://sillage.example/fhir/CodeSystem/purpose";
/// How confidential.
pub(super) const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// Sensitivities, and the policies of `policyRule`.
pub(super) const ACT_CODES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// The scope of a Consent.
pub const SCOPES: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
/// The part that an actor has.
pub const PARTS: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";

/// v3-PurposeOfUse (<https://terminology.hl7.org/ValueSet-v3-PurposeOfUse.html>), without its root.
const PURPOSE_CODES: [&str; 59] = [
    "BIORCH",
    "BTG",
    "CAREMGT",
    "CLINTRCH",
    "CLINTRCHNPC",
    "CLINTRCHPC",
    "CLINTRL",
    "CLMATTCH",
    "COC",
    "COVAUTH",
    "COVERAGE",
    "DISASTER",
    "DONAT",
    "DSRCH",
    "ELIGDTRM",
    "ELIGVER",
    "ENROLLM",
    "ERTREAT",
    "ETREAT",
    "FAMRQT",
    "FRAUD",
    "GOV",
    "HACCRED",
    "HCOMPL",
    "HDECD",
    "HDIRECT",
    "HDM",
    "HLEGAL",
    "HMARKT",
    "HOPERAT",
    "HOUTCOMS",
    "HPAYMT",
    "HPRGRP",
    "HQUALIMP",
    "HRESCH",
    "HSYSADMIN",
    "HTEST",
    "LABELING",
    "MEMADMIN",
    "METAMGT",
    "MILCDM",
    "MILDCRG",
    "PATADMIN",
    "PATRQT",
    "PATSFTY",
    "PERFMSR",
    "POARCH",
    "POPHLTH",
    "PRECLINTRCH",
    "PUBHLTH",
    "PWATRNY",
    "RECORDMGT",
    "REMITADV",
    "SUPNWK",
    "SYSDEV",
    "THREAT",
    "TRAIN",
    "TRANSRCH",
    "TREAT",
];

/// v3-Confidentiality.
const CONFIDENTIALITY_CODES: [&str; 6] = ["L", "M", "N", "R", "U", "V"];

/// The sensitivities of v3-ActCode (v3-InformationSensitivityPolicy), as data are labelled with them.
const SENSITIVITY_CODES: [&str; 45] = [
    "ADOL", "B", "BH", "CEL", "COGN", "DEMO", "DIA", "DOB", "DRGIS", "DVD", "EMOTDIS", "EMP", "EMPL", "ETH", "ETHUD",
    "GDIS", "GENDER", "HIV", "IDS", "LIVARG", "LOCIS", "MARST", "MH", "MST", "OPIOIDUD", "PDS", "PHY", "PREGNANT",
    "PRS", "PSY", "PSYTHPN", "RACE", "REL", "SCA", "SDV", "SEX", "SICKLE", "SOC", "SPI", "SSP", "STD", "SUD", "TBOO",
    "VIO", "VIP",
];

/// Systems whose codes name what sort of document something is. A code's own system isn't part of a category.
const CLASS_SYSTEMS: [&str; 3] = ["http://hl7.org/fhir/resource-types", "http://loinc.org", OUR_CATEGORIES];
/// The French vocabularies of document classes and types.
const CLASS_SYSTEM_PREFIX: &str = "https://mos.esante.gouv.fr/NOS/";

/// The actions of one code of `consentaction`.
fn actions_of(code: &str) -> Option<&'static [Action]> {
    Some(match code {
        // "Retrieval without permitting collection, use or disclosure": to consult, in whatever way.
        "access" => &[Action::Read, Action::Search, Action::Download, Action::Print],
        // "Gather retrieved information for storage".
        "collect" => &[Action::Download, Action::Print],
        // "Utilize the retrieved information": it has to be looked at.
        "use" => &[Action::Read, Action::Search],
        // "Transfer retrieved information".
        "disclose" => &[Action::Export],
        // "Allow retrieval of a patient's information for the purpose of update or rectify".
        "correct" => &[Action::Read, Action::Search, Action::Update],
        _ => return None,
    })
}

/// The actions that a coding of `Consent.provision.action` names.
pub(super) fn actions(coding: &Value) -> Option<Vec<Action>> {
    let code = text(coding, "code");
    match text(coding, "system") {
        ACTIONS => actions_of(code).map(<[Action]>::to_vec),
        OUR_ACTIONS => Action::from_token(code).map(|known| vec![known]),
        _ => None,
    }
}

/// The code of `consentaction` that says most nearly what one action is, for readers who don't know ours.
pub fn nearest_action(action: Action) -> Option<&'static str> {
    match action {
        Action::Read | Action::Search => Some("access"),
        Action::Download | Action::Print => Some("collect"),
        Action::Export => Some("disclose"),
        Action::Update => Some("correct"),
        Action::Write | Action::Delete => None,
    }
}

/// The purpose that a coding names.
pub(super) fn purpose(coding: &Value) -> Option<&str> {
    let code = text(coding, "code");
    let known = match text(coding, "system") {
        PURPOSES => is_purpose(code),
        OUR_PURPOSES => !code.is_empty(),
        _ => false,
    };
    known.then_some(code)
}

fn is_purpose(code: &str) -> bool {
    PURPOSE_CODES.binary_search(&code).is_ok()
}

/// A purpose as a coding, of our own system where v3-PurposeOfUse has none.
pub fn purpose_coding(purpose: &str) -> Value {
    let system = if is_purpose(purpose) { PURPOSES } else { OUR_PURPOSES };
    json!({"system": system, "code": purpose})
}

/// The label that a coding of `Consent.provision.securityLabel` names.
pub(super) fn label(coding: &Value) -> Option<&str> {
    let code = text(coding, "code");
    let known = match text(coding, "system") {
        CONFIDENTIALITY => CONFIDENTIALITY_CODES.contains(&code),
        ACT_CODES => SENSITIVITY_CODES.binary_search(&code).is_ok(),
        OUR_LABELS => !code.is_empty(),
        _ => false,
    };
    known.then_some(code)
}

/// The system that a label is of.
pub fn label_system(label: &str) -> &'static str {
    match label {
        label if CONFIDENTIALITY_CODES.contains(&label) => CONFIDENTIALITY,
        label if SENSITIVITY_CODES.binary_search(&label).is_ok() => ACT_CODES,
        _ => OUR_LABELS,
    }
}

/// The category that a coding of `Consent.provision.class` names.
pub(super) fn category(coding: &Value) -> Option<&str> {
    let (system, code) = (text(coding, "system"), text(coding, "code"));
    let known = CLASS_SYSTEMS.contains(&system) || system.starts_with(CLASS_SYSTEM_PREFIX);
    (known && !code.is_empty()).then_some(code)
}

/// The system that a category is of.
pub fn category_system(category: &str) -> &'static str {
    let resource = category.chars().next().is_some_and(|c| c.is_ascii_uppercase())
        && category.chars().any(|c| c.is_ascii_lowercase())
        && category.chars().all(|c| c.is_ascii_alphabetic());
    if resource { CLASS_SYSTEMS[0] } else { OUR_CATEGORIES }
}

/// The effect of the base policy that a coding of `Consent.policyRule` names on everything that no provision speaks of.
pub(super) fn policy_rule(coding: &Value) -> Option<Effect> {
    if text(coding, "system") != ACT_CODES {
        return None;
    }
    match text(coding, "code") {
        "OPTIN" | "OPTINR" => Some(Effect::Permit),
        "OPTOUT" | "OPTOUTE" => Some(Effect::Deny),
        _ => None,
    }
}

/// IHE PCF's policies that deny: agreeing to one of them permits nothing
/// (<https://profiles.ihe.net/ITI/PCF/volume-1.html>, Implicit Option).
pub(super) fn is_denying_policy(uri: &str) -> bool {
    let name = uri.strip_prefix("https://profiles.ihe.net/ITI/PCF/");
    matches!(name, Some("Policy-deny" | "Policy-break-glass-only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_for_binary_search() {
        assert!(PURPOSE_CODES.is_sorted() && SENSITIVITY_CODES.is_sorted());
        assert!(
            ["TREAT", "HRESCH", "BTG", "PATRQT", "HPAYMT", "HOPERAT", "ETREAT"].iter().all(|code| is_purpose(code))
        );
        assert!(!is_purpose("FooBar"));
    }

    #[test]
    fn each_action_is_nearest_to_a_code_that_includes_it() {
        for action in Action::ALL {
            if let Some(code) = nearest_action(*action) {
                assert!(actions_of(code).is_some_and(|actions| actions.contains(action)), "{action}");
            }
        }
    }
}
