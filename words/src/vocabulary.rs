//! The words of tokens: what patients read of kinds, purposes, reasons and flags, in French and English.
//!
//! This is the one place that has them. [`json`] writes them out for other programs as `docs/vectors/words.json`; the verifier in
//! JavaScript holds the same words, and tests keep the three equal.

use serde_json::{Map, Value, json};

use crate::Lang;

/// A token of records or decisions, and its word in French and in English.
pub type Word = (&'static str, &'static str, &'static str);

/// Kinds of records and events, in two or three words.
pub const KINDS: &[Word] = &[
    ("space.opened", "espace ouvert", "space opened"),
    ("space.opposed", "opposition à l'espace", "space opposed"),
    ("space.closed", "espace clos", "space closed"),
    ("consent.directive", "directive de consentement", "consent directive"),
    ("consent.revoked", "consentement retiré", "consent withdrawn"),
    ("emergency.opposition", "opposition à l'urgence", "emergency opposition"),
    ("emergency.opposition.lifted", "opposition levée", "opposition lifted"),
    ("professional.blocked", "professionnel bloqué", "professional blocked"),
    ("professional.unblocked", "professionnel débloqué", "professional unblocked"),
    ("item.masked", "document masqué", "document masked"),
    ("item.unmasked", "document démasqué", "document unmasked"),
    ("item.embargoed", "annonce attendue", "held for announcement"),
    ("item.released", "annonce faite", "released"),
    ("feed.opposed", "source refusée", "feed opposed"),
    ("feed.opposition.lifted", "source acceptée", "feed accepted"),
    ("representation.registered", "représentant", "representative"),
    ("representation.ended", "fin de représentation", "representation ended"),
    ("minor.secrecy.set", "secret demandé", "secrecy asked for"),
    ("minor.secrecy.lifted", "secret levé", "secrecy lifted"),
    ("careteam.joined", "équipe de soins", "care team joined"),
    ("careteam.left", "départ de l'équipe", "care team left"),
    ("attending.declared", "médecin traitant", "attending doctor"),
    ("attending.ended", "fin de médecin traitant", "attending doctor ended"),
    ("breakglass.opened", "accès d'urgence", "break-glass"),
    ("breakglass.justified", "urgence justifiée", "break-glass justified"),
    ("breakglass.closed", "urgence close", "break-glass closed"),
    ("breakglass.reviewed", "urgence contrôlée", "break-glass reviewed"),
    ("access.read", "consultation", "read"),
    ("access.search", "recherche", "search"),
    ("access.write", "ajout", "addition"),
    ("access.update", "modification", "change"),
    ("access.download", "téléchargement", "download"),
    ("access.print", "impression", "print"),
    ("access.export", "export", "export"),
    ("access.delete", "suppression", "deletion"),
    ("movement.third_party", "transmission à un tiers", "to a third party"),
    ("movement.app_sync", "synchronisation", "app synchronisation"),
    ("movement.research", "recherche scientifique", "research release"),
    ("movement.snds", "SNDS", "SNDS"),
    ("decision.made", "décision d'accès", "access decision"),
    ("notification.queued", "notification préparée", "notification queued"),
    ("notification.delivered", "notification", "notification"),
    ("notification.failed", "notification non remise", "notification failed"),
    ("notification.read", "notification lue", "notification read"),
    ("contest.opened", "contestation", "contest"),
    ("contest.answered", "réponse à contestation", "contest answered"),
    ("log.consulted", "lecture de la trace", "trace read"),
    ("session.opened", "session ouverte", "session opened"),
    ("session.closed", "session fermée", "session closed"),
    ("contest.closed", "contestation close", "contest closed"),
    ("key.registered", "clé enregistrée", "key registered"),
    ("key.rotated", "clé remplacée", "key rotated"),
    ("key.revoked", "clé révoquée", "key revoked"),
    ("role.changed", "rôle changé", "role changed"),
    ("catalogue.published", "catalogue publié", "catalogue published"),
    ("policy.published", "politique publiée", "policy published"),
    ("matrix.published", "matrice d'habilitation publiée", "matrix published"),
    ("identity.linked", "identités rapprochées", "identities linked"),
    ("identity.corrected", "identité corrigée", "identity corrected"),
    ("payload.erased", "contenu effacé", "content erased"),
    ("index.commit", "index des patients", "patient index"),
    ("log.closed", "registre fermé", "log closed"),
    ("system.event", "événement d'un système", "system event"),
    ("genesis", "genèse", "genesis"),
    ("node_set.changed", "nœuds changés", "nodes changed"),
    ("vouching.changed", "services qui répondent : changement", "vouching changed"),
    ("issuer.published", "fournisseur d'identité publié", "issuer of logins published"),
    ("records.voided", "enregistrements annulés", "records voided"),
    ("authority.rule", "règle des autorités", "rule of the authorities"),
    ("device.registered", "appareil enregistré", "device registered"),
    ("sources.listed", "liste des sources", "list of sources"),
    ("source.heartbeat", "signe de vie d'une source", "heartbeat of a source"),
];

/// Purposes of use: why somebody accessed.
pub const PURPOSES: &[Word] = &[
    ("TREAT", "pour des soins", "for care"),
    ("ETREAT", "pour des soins urgents", "for urgent care"),
    ("BTG", "en urgence (bris de glace)", "in an emergency (break-glass)"),
    ("PATRQT", "à la demande du patient", "at the patient's request"),
    ("FAMRQT", "à la demande de la famille", "at the family's request"),
    ("HRESCH", "pour la recherche", "for research"),
    ("HOPERAT", "pour le fonctionnement de l'établissement", "for the running of the establishment"),
    ("HPAYMT", "pour la facturation", "for payment"),
    ("PUBHLTH", "pour la santé publique", "for public health"),
    ("COC", "pour la coordination des soins", "for the coordination of care"),
];

/// By what right, as a record states it; `emergency-mode` is the reference of a basis by law.
pub const BASES: &[Word] = &[
    ("decision", "sur autorisation", "by an authorisation"),
    ("breakglass", "par un accès d'urgence", "by break-glass"),
    ("care_team", "en tant que membre de l'équipe de soins", "as a member of the care team"),
    ("consent", "avec le consentement du patient", "with the patient's consent"),
    ("self", "en tant que patient", "as the patient"),
    ("legal", "en vertu de la loi", "by law"),
    ("emergency-mode", "selon les règles d'urgence de l'établissement", "by the establishment's emergency rules"),
];

/// Outcomes that are no success.
pub const OUTCOMES: &[Word] = &[
    ("minor_failure", "échec mineur", "minor failure"),
    ("serious_failure", "échec ou refus", "failed or refused"),
    ("major_failure", "échec grave", "major failure"),
];

/// Flags of an entry that a reader should know of. `CLAIMED` stands before the basis: *says: as a member of the care team*.
pub const FLAGS: &[Word] = &[
    ("LATE", "enregistré tardivement", "recorded late"),
    ("DEFERRED", "transmis après une panne de l'établissement", "handed in after an outage of the establishment"),
    ("LEDGER", "écrit par le registre lui-même", "written by the ledger itself"),
    ("CLAIMED", "déclare", "says"),
];

/// Why an access is unjustified.
pub const UNJUSTIFIED: &[Word] = &[
    ("NO_BASIS", "sans justification enregistrée", "without recorded justification"),
    (
        "UNKNOWN_REFERENCE",
        "avec une justification introuvable au registre",
        "with a justification that is not on record",
    ),
    ("OTHER_ACTOR", "avec la justification de quelqu'un d'autre", "with someone else's justification"),
    ("BEYOND", "au-delà de ce que sa justification permet", "beyond what its justification permits"),
    ("EXPIRED", "après l'expiration de sa justification", "after its justification had expired"),
    ("UNPROVEN", "sans rien au registre qui l'établisse", "with nothing on record that supports it"),
];

/// Categories of documents.
pub const CATEGORIES: &[Word] = &[
    ("REPORT", "compte rendu", "report"),
    ("SUMMARY", "synthèse médicale", "summary"),
    ("LAB", "biologie", "laboratory"),
    ("IMAGING", "imagerie", "imaging"),
    ("PRESCRIPTION", "ordonnance", "prescription"),
    ("LETTER", "courrier", "letter"),
    ("VACCINATION", "vaccination", "vaccination"),
    ("ALLERGIES", "allergies", "allergies"),
    ("ADVANCE_DIRECTIVES", "directives anticipées", "advance directives"),
    ("WEIGHT", "poids", "weight"),
    ("DocumentReference", "document", "document"),
];

/// Roles and professions.
pub const ROLES: &[Word] = &[
    ("physician", "médecin", "physician"),
    ("general-practitioner", "médecin généraliste", "general practitioner"),
    ("emergency-physician", "médecin urgentiste", "emergency physician"),
    ("occupational-physician", "médecin du travail", "occupational physician"),
    ("fire-brigade-physician", "médecin des sapeurs-pompiers", "fire brigade physician"),
    ("cardiologist", "cardiologue", "cardiologist"),
    ("radiologist", "radiologue", "radiologist"),
    ("anaesthetist", "anesthésiste", "anaesthetist"),
    ("psychiatrist", "psychiatre", "psychiatrist"),
    ("surgeon", "chirurgien ou chirurgienne", "surgeon"),
    ("dermatologist", "dermatologue", "dermatologist"),
    ("biologist", "biologiste médical", "medical biologist"),
    ("dentist", "dentiste", "dentist"),
    ("physiotherapist", "kinésithérapeute", "physiotherapist"),
    ("secretary", "secrétariat médical", "medical secretary"),
    ("service", "service", "service"),
    ("nurse", "infirmier ou infirmière", "nurse"),
    ("pharmacist", "pharmacien ou pharmacienne", "pharmacist"),
    ("midwife", "sage-femme", "midwife"),
    ("patient", "patient", "patient"),
    ("application", "application", "app"),
    ("app", "application", "app"),
    ("IRCP", "destinataire", "recipient"),
    ("samu-regulator", "régulation du Samu", "Samu dispatch"),
];

/// Actions, as infinitives.
pub const ACTIONS: &[Word] = &[
    ("read", "consulter", "read"),
    ("search", "rechercher", "search"),
    ("write", "ajouter", "add"),
    ("update", "modifier", "change"),
    ("download", "télécharger", "download"),
    ("print", "imprimer", "print"),
    ("export", "exporter", "export"),
    ("delete", "supprimer", "delete"),
];

/// Why a document was given or refused.
pub const REASONS: &[Word] = &[
    ("INVALID_ACTOR", "acteur inconnu ou révoqué", "actor unknown or revoked"),
    ("UNKNOWN_ITEM", "document inconnu chez ce patient", "no such document of this patient"),
    ("EMBARGOED", "consultation d'annonce attendue", "waits to be told by a person"),
    ("NOT_OWNER", "déposé par quelqu'un d'autre", "deposited by somebody else"),
    ("SELF", "données du patient lui-même", "the patient's own data"),
    ("MINOR_SECRECY", "tenu secret des représentants", "kept from representatives"),
    ("REPRESENTATIVE", "représentant du patient", "the patient's representative"),
    ("SPACE_CLOSED", "espace de santé clos", "health space closed"),
    ("PURPOSE_BARRED", "finalité interdite par la loi", "purpose barred by law"),
    ("DEPOSITOR", "auteur du dépôt", "who deposited it"),
    ("MATRIX", "profession non habilitée", "profession not entitled"),
    ("NOT_CATALOGUED", "application hors catalogue", "app not in the catalogue"),
    ("ATTENDING", "médecin traitant", "attending doctor"),
    ("BLOCKED", "professionnel bloqué par le patient", "blocked by the patient"),
    ("EMERGENCY_OPPOSED", "opposition du patient à l'accès d'urgence", "the patient opposed emergency access"),
    ("MASKED", "document masqué", "masked document"),
    ("BREAK_GLASS", "accès d'urgence", "emergency access"),
    ("CONSENT_DENY", "interdit par une directive du patient", "denied by a directive of the patient"),
    ("FEED_OPPOSED", "source refusée par le patient", "source opposed by the patient"),
    ("CONSENT_GRANT", "autorisé par une directive du patient", "permitted by a directive of the patient"),
    ("CARE_TEAM", "membre de l'équipe de soins", "member of the care team"),
    ("DEPOSIT_DEFAULT", "dépôt par un professionnel", "a professional's deposit"),
    ("LEGAL_FEED", "source prévue par la loi", "source provided for by law"),
    ("NO_CONSENT", "aucune autorisation", "nothing permits it"),
    ("LEDGER_UNREACHABLE", "registre hors d'atteinte", "ledger out of reach"),
];

/// The obligations that can come with a permission.
pub const OBLIGATIONS: &[Word] = &[
    ("JUSTIFY", "justifier l'accès", "justify the access"),
    ("NOTIFY_PATIENT", "informer le patient", "tell the patient"),
    ("NOTIFY_ATTENDING", "informer le médecin traitant", "tell the attending doctor"),
    ("REVIEW", "faire contrôler l'accès", "have the access reviewed"),
];

/// Every list, with its name in [`json`].
const LISTS: [(&str, &[Word]); 11] = [
    ("actions", ACTIONS),
    ("bases", BASES),
    ("categories", CATEGORIES),
    ("flags", FLAGS),
    ("kinds", KINDS),
    ("obligations", OBLIGATIONS),
    ("outcomes", OUTCOMES),
    ("purposes", PURPOSES),
    ("reasons", REASONS),
    ("roles", ROLES),
    ("unjustified", UNJUSTIFIED),
];

/// The word of a token, where the list has one.
pub fn find(list: &[Word], token: &str, lang: Lang) -> Option<&'static str> {
    let (_, fr, en) = list.iter().find(|(known, ..)| *known == token)?;
    Some(match lang {
        Lang::Fr => fr,
        Lang::En => en,
    })
}

/// The word of a token; the token itself, where the list has none.
pub fn word(list: &[Word], token: &str, lang: Lang) -> String {
    find(list, token, lang).unwrap_or(token).to_owned()
}

/// All of them, as `docs/vectors/words.json` holds them: by list and token, an object with `fr` and `en`.
pub fn json() -> Value {
    let mut all = Map::new();
    for (name, words) in LISTS {
        let words = words.iter().map(|(token, fr, en)| ((*token).to_owned(), json!({"fr": fr, "en": en})));
        all.insert(name.to_owned(), Value::Object(words.collect()));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::entry::{Flags, UnjustifiedReason};
    use sillage_rules::kind::Kind;

    /// The file that other programs take the words from. `SILLAGE_WRITE_VECTORS=1` writes it.
    #[test]
    fn the_file_of_words_holds_what_people_read_here() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/words.json");
        let made = format!("{:#}\n", json());
        if std::env::var_os("SILLAGE_WRITE_VECTORS").is_some() {
            std::fs::write(&path, &made).expect("docs/vectors takes a file");
        }
        let kept =
            std::fs::read_to_string(&path).expect("docs/vectors/words.json: write it with SILLAGE_WRITE_VECTORS=1");
        assert!(kept == made, "docs/vectors/words.json differs: write it with SILLAGE_WRITE_VECTORS=1");
    }

    #[test]
    fn every_kind_reason_and_flag_has_a_word() {
        let kinds: Vec<&str> = KINDS.iter().map(|(token, ..)| *token).collect();
        assert_eq!(kinds, Kind::ALL.iter().map(|kind| kind.token()).collect::<Vec<_>>());
        let reasons: Vec<&str> = UNJUSTIFIED.iter().map(|(token, ..)| *token).collect();
        assert_eq!(reasons, UnjustifiedReason::ALL.map(UnjustifiedReason::token));
        let told = Flags::LATE | Flags::DEFERRED | Flags::LEDGER | Flags::CLAIMED;
        assert_eq!(FLAGS.iter().map(|(token, ..)| *token).collect::<Vec<_>>(), told.names().collect::<Vec<_>>());
    }

    #[test]
    fn no_token_stands_twice_in_a_list() {
        for (name, words) in LISTS {
            let tokens: std::collections::BTreeSet<&str> = words.iter().map(|(token, ..)| *token).collect();
            assert_eq!(tokens.len(), words.len(), "{name}");
        }
    }
}
