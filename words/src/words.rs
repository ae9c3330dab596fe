//! Every word that people read, in both languages side by side.

use sillage_proto::v1::{self, BasisKind, Outcome};
use sillage_rules::entry::{Flags, UnjustifiedReason};
use sillage_rules::kind::Kind;

use super::Lang;

/// What the basis of a decision points to that an establishment made by its own rules, in emergency mode.
pub const EMERGENCY_MODE: &str = "emergency-mode";

/// Picks the language.
pub fn pick<'a>(lang: Lang, fr: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Fr => fr,
        Lang::En => en,
    }
}

/// What an actor did, as the verb of a sentence: "a consulté".
pub fn verb(kind: Kind, lang: Lang) -> &'static str {
    let (fr, en) = match kind.token() {
        "access.read" => ("a consulté", "read"),
        "access.search" => ("a recherché", "searched"),
        "access.write" => ("a ajouté", "added"),
        "access.update" => ("a modifié", "changed"),
        "access.download" => ("a téléchargé", "downloaded"),
        "access.print" => ("a imprimé", "printed"),
        "access.export" => ("a exporté", "exported"),
        "access.delete" => ("a supprimé", "deleted"),
        "movement.third_party" => ("a transmis à un tiers", "sent to a third party"),
        "movement.app_sync" => ("a synchronisé avec une application", "synchronised with an app"),
        "movement.research" => ("a transmis pour la recherche", "released for research"),
        "movement.snds" => {
            ("a transmis au système national des données de santé", "fed to the national health data system")
        }
        "breakglass.opened" => {
            ("a ouvert un accès d'urgence (bris de glace)", "opened an emergency access (break-glass)")
        }
        "breakglass.justified" => ("a justifié un accès d'urgence", "justified an emergency access"),
        "breakglass.closed" => ("a clos un accès d'urgence", "closed an emergency access"),
        "breakglass.reviewed" => ("a contrôlé un accès d'urgence", "reviewed an emergency access"),
        "log.consulted" => ("a consulté cette trace", "read this trace"),
        "consent.directive" => ("a enregistré une directive de consentement", "recorded a consent directive"),
        "consent.revoked" => ("a retiré une directive de consentement", "withdrew a consent directive"),
        "space.opened" => ("a ouvert l'espace de santé", "opened the health space"),
        "space.opposed" => ("a fait opposition à l'ouverture de l'espace de santé", "opposed the health space"),
        "space.closed" => ("a clos l'espace de santé", "closed the health space"),
        "emergency.opposition" => ("a fait opposition aux accès d'urgence", "opposed emergency access"),
        "emergency.opposition.lifted" => {
            ("a levé une opposition aux accès d'urgence", "lifted an opposition to emergency access")
        }
        "professional.blocked" => ("a bloqué un professionnel", "blocked a professional"),
        "professional.unblocked" => ("a débloqué un professionnel", "unblocked a professional"),
        "item.masked" => ("a masqué un document", "masked a document"),
        "item.unmasked" => ("a démasqué un document", "unmasked a document"),
        "item.embargoed" => {
            ("a retenu un document jusqu'à la consultation d'annonce", "held a document until it is announced")
        }
        "item.released" => ("a rendu un document visible", "released a document"),
        "feed.opposed" => ("a fait opposition à une source de données", "opposed a data source"),
        "feed.opposition.lifted" => {
            ("a levé une opposition à une source de données", "lifted an opposition to a data source")
        }
        "representation.registered" => ("a enregistré un représentant", "registered a representative"),
        "representation.ended" => ("a mis fin à une représentation", "ended a representation"),
        "minor.secrecy.set" => {
            ("a demandé le secret à l'égard des représentants", "asked for secrecy towards representatives")
        }
        "minor.secrecy.lifted" => {
            ("a levé le secret à l'égard des représentants", "lifted the secrecy towards representatives")
        }
        "careteam.joined" => ("a rejoint l'équipe de soins", "joined the care team"),
        "careteam.left" => ("a quitté l'équipe de soins", "left the care team"),
        "attending.declared" => ("a déclaré le médecin traitant", "declared the attending doctor"),
        "attending.ended" => {
            ("a mis fin à la déclaration du médecin traitant", "ended the attending doctor's declaration")
        }
        "notification.queued" => ("a préparé une notification", "queued a notification"),
        "notification.delivered" => ("a remis une notification", "delivered a notification"),
        "notification.failed" => ("n'a pas pu remettre une notification", "failed to deliver a notification"),
        "notification.read" => ("a lu une notification", "read a notification"),
        "contest.opened" => ("a contesté un accès", "contested an access"),
        "contest.answered" => ("a répondu à une contestation", "answered a contest"),
        "decision.made" => ("a reçu une décision d'accès", "got an access decision"),
        "identity.linked" => ("a rapproché deux identités", "linked two identities"),
        "identity.corrected" => ("a corrigé l'identité", "corrected the identity"),
        "payload.erased" => ("a effacé le contenu d'un événement", "erased the content of an event"),
        "records.voided" => ("a annulé des enregistrements", "voided records"),
        "device.registered" => ("a fait enregistrer un appareil", "had a device registered"),
        _ => ("a enregistré un événement", "recorded an event"),
    };
    pick(lang, fr, en)
}

/// What an actor tried to do and didn't: of accesses and movements whose outcome is no success.
pub fn attempt(kind: Kind, lang: Lang) -> &'static str {
    let (fr, en) = match kind.token() {
        "access.read" => ("a tenté de consulter", "tried to read"),
        "access.search" => ("a tenté de rechercher", "tried to search"),
        "access.write" => ("a tenté d'ajouter", "tried to add"),
        "access.update" => ("a tenté de modifier", "tried to change"),
        "access.download" => ("a tenté de télécharger", "tried to download"),
        "access.print" => ("a tenté d'imprimer", "tried to print"),
        "access.export" => ("a tenté d'exporter", "tried to export"),
        "access.delete" => ("a tenté de supprimer", "tried to delete"),
        "movement.third_party" => ("a tenté de transmettre à un tiers", "tried to send to a third party"),
        "movement.app_sync" => ("a tenté de synchroniser avec une application", "tried to synchronise with an app"),
        "movement.research" => ("a tenté de transmettre pour la recherche", "tried to release for research"),
        "movement.snds" => (
            "a tenté de transmettre au système national des données de santé",
            "tried to feed to the national health data system",
        ),
        _ => ("a tenté d'accéder aux données", "tried to access the data"),
    };
    pick(lang, fr, en)
}

/// Whether the verb needs an object: what was read, sent, deleted.
pub fn has_object(kind: Kind) -> bool {
    kind.is_access() || kind.is_movement()
}

/// A kind in two or three words, for the table.
pub fn noun(kind: Kind, lang: Lang) -> String {
    let (fr, en) = match kind.token() {
        "access.read" => ("consultation", "read"),
        "access.search" => ("recherche", "search"),
        "access.write" => ("ajout", "addition"),
        "access.update" => ("modification", "change"),
        "access.download" => ("téléchargement", "download"),
        "access.print" => ("impression", "print"),
        "access.export" => ("export", "export"),
        "access.delete" => ("suppression", "deletion"),
        "movement.third_party" => ("transmission à un tiers", "to a third party"),
        "movement.app_sync" => ("synchronisation", "app synchronisation"),
        "movement.research" => ("recherche scientifique", "research release"),
        "movement.snds" => ("SNDS", "SNDS"),
        "space.opened" => ("espace ouvert", "space opened"),
        "space.opposed" => ("opposition à l'espace", "space opposed"),
        "space.closed" => ("espace clos", "space closed"),
        "emergency.opposition" => ("opposition à l'urgence", "emergency opposition"),
        "emergency.opposition.lifted" => ("opposition levée", "opposition lifted"),
        "item.embargoed" => ("annonce attendue", "held for announcement"),
        "item.released" => ("annonce faite", "released"),
        "feed.opposed" => ("source refusée", "feed opposed"),
        "feed.opposition.lifted" => ("source acceptée", "feed accepted"),
        "representation.registered" => ("représentant", "representative"),
        "representation.ended" => ("fin de représentation", "representation ended"),
        "minor.secrecy.set" => ("secret demandé", "secrecy asked for"),
        "minor.secrecy.lifted" => ("secret levé", "secrecy lifted"),
        "attending.ended" => ("fin de médecin traitant", "attending doctor ended"),
        "decision.made" => ("décision d'accès", "access decision"),
        "contest.opened" => ("contestation", "contest"),
        "contest.answered" => ("réponse à contestation", "contest answered"),
        "notification.queued" => ("notification préparée", "notification queued"),
        "notification.failed" => ("notification non remise", "notification failed"),
        "notification.read" => ("notification lue", "notification read"),
        "identity.linked" => ("identités rapprochées", "identities linked"),
        "identity.corrected" => ("identité corrigée", "identity corrected"),
        "payload.erased" => ("contenu effacé", "content erased"),
        "records.voided" => ("enregistrements annulés", "records voided"),
        "device.registered" => ("appareil enregistré", "device registered"),
        "breakglass.opened" => ("accès d'urgence", "break-glass"),
        "breakglass.justified" => ("urgence justifiée", "break-glass justified"),
        "breakglass.closed" => ("urgence close", "break-glass closed"),
        "breakglass.reviewed" => ("urgence contrôlée", "break-glass reviewed"),
        "log.consulted" => ("lecture de la trace", "trace read"),
        "consent.directive" => ("directive de consentement", "consent directive"),
        "consent.revoked" => ("consentement retiré", "consent withdrawn"),
        "professional.blocked" => ("professionnel bloqué", "professional blocked"),
        "professional.unblocked" => ("professionnel débloqué", "professional unblocked"),
        "item.masked" => ("document masqué", "document masked"),
        "item.unmasked" => ("document démasqué", "document unmasked"),
        "careteam.joined" => ("équipe de soins", "care team joined"),
        "careteam.left" => ("départ de l'équipe", "care team left"),
        "attending.declared" => ("médecin traitant", "attending doctor"),
        "notification.delivered" => ("notification", "notification"),
        _ => return kind.token().to_owned(),
    };
    pick(lang, fr, en).to_owned()
}

/// Why, in plain words; a purpose that isn't known is shown as it is.
pub fn purpose(code: &str, lang: Lang) -> String {
    let (fr, en) = match code {
        "" => return String::new(),
        "TREAT" => ("pour des soins", "for care"),
        "ETREAT" => ("pour des soins urgents", "for urgent care"),
        "BTG" => ("en urgence (bris de glace)", "in an emergency (break-glass)"),
        "PATRQT" => ("à la demande du patient", "at the patient's request"),
        "FAMRQT" => ("à la demande de la famille", "at the family's request"),
        "HRESCH" => ("pour la recherche", "for research"),
        "HOPERAT" => ("pour le fonctionnement de l'établissement", "for the running of the establishment"),
        "HPAYMT" => ("pour la facturation", "for payment"),
        "PUBHLTH" => ("pour la santé publique", "for public health"),
        "COC" => ("pour la coordination des soins", "for the coordination of care"),
        code => {
            return match lang {
                Lang::Fr => format!("pour le motif {code}"),
                Lang::En => format!("for the purpose {code}"),
            };
        }
    };
    pick(lang, fr, en).to_owned()
}

/// By what right it happened, in plain words; empty where the record doesn't say.
pub fn by_right(record: &v1::Record, flags: Flags, lang: Lang) -> String {
    let right = match &record.basis {
        None => return String::new(),
        Some(by) if by.kind() == BasisKind::Legal && by.r#ref == EMERGENCY_MODE => {
            pick(lang, "selon les règles d'urgence de l'établissement", "by the establishment's emergency rules")
        }
        Some(by) => basis(by.kind(), lang),
    };
    match (flags.contains(Flags::CLAIMED), lang) {
        (false, _) => right.to_owned(),
        (true, Lang::Fr) => format!("déclare : {right}"),
        (true, Lang::En) => format!("says: {right}"),
    }
}

/// By what right, in plain words.
pub fn basis(kind: BasisKind, lang: Lang) -> &'static str {
    let (fr, en) = match kind {
        BasisKind::None => ("", ""),
        BasisKind::Decision => ("sur autorisation", "by an authorisation"),
        BasisKind::Breakglass => ("par un accès d'urgence", "by break-glass"),
        BasisKind::CareTeam => ("en tant que membre de l'équipe de soins", "as a member of the care team"),
        BasisKind::Consent => ("avec le consentement du patient", "with the patient's consent"),
        BasisKind::Self_ => ("en tant que patient", "as the patient"),
        BasisKind::Legal => ("en vertu de la loi", "by law"),
    };
    pick(lang, fr, en)
}

/// What a reader should know besides, in plain words.
pub fn flags(flags: Flags, lang: Lang) -> Vec<&'static str> {
    let unjustified = flags.unjustified_reason().map(|reason| unjustified(reason, lang));
    let all = [
        (Flags::LATE, "enregistré tardivement", "recorded late"),
        (
            Flags::DEFERRED,
            "transmis après une panne de l'établissement",
            "handed in after an outage of the establishment",
        ),
        (Flags::LEDGER, "écrit par le registre lui-même", "written by the ledger itself"),
    ];
    let set = all.into_iter().filter(|(flag, ..)| flags.contains(*flag));
    unjustified.into_iter().chain(set.map(|(_, fr, en)| pick(lang, fr, en))).collect()
}

/// Why an access is unjustified.
fn unjustified(reason: UnjustifiedReason, lang: Lang) -> &'static str {
    let (fr, en) = match reason {
        UnjustifiedReason::NoBasis => ("sans justification enregistrée", "without recorded justification"),
        UnjustifiedReason::UnknownReference => {
            ("avec une justification introuvable au registre", "with a justification that is not on record")
        }
        UnjustifiedReason::OtherActor => {
            ("avec la justification de quelqu'un d'autre", "with someone else's justification")
        }
        UnjustifiedReason::Beyond => {
            ("au-delà de ce que sa justification permet", "beyond what its justification permits")
        }
        UnjustifiedReason::Expired => ("après l'expiration de sa justification", "after its justification had expired"),
        UnjustifiedReason::Unproven => {
            ("sans rien au registre qui l'établisse", "with nothing on record that supports it")
        }
    };
    pick(lang, fr, en)
}

/// How it ended; empty for a success.
pub fn outcome(outcome: Outcome, lang: Lang) -> &'static str {
    let (fr, en) = match outcome {
        Outcome::Unspecified | Outcome::Success => ("", ""),
        Outcome::MinorFailure => ("échec mineur", "minor failure"),
        Outcome::SeriousFailure => ("échec ou refus", "failed or refused"),
        Outcome::MajorFailure => ("échec grave", "major failure"),
    };
    pick(lang, fr, en)
}

/// The category of a document as people say it; unknown ones are shown as they are.
pub fn category(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "REPORT" => ("compte rendu", "report"),
        "SUMMARY" => ("synthèse médicale", "summary"),
        "LAB" => ("biologie", "laboratory"),
        "IMAGING" => ("imagerie", "imaging"),
        "PRESCRIPTION" => ("ordonnance", "prescription"),
        "LETTER" => ("courrier", "letter"),
        "VACCINATION" => ("vaccination", "vaccination"),
        "ALLERGIES" => ("allergies", "allergies"),
        "ADVANCE_DIRECTIVES" => ("directives anticipées", "advance directives"),
        "WEIGHT" => ("poids", "weight"),
        "DocumentReference" => ("document", "document"),
        other => return other.to_owned(),
    };
    pick(lang, fr, en).to_owned()
}

/// A role or profession as people say it; unknown ones are shown as they are.
pub fn role(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "physician" => ("médecin", "physician"),
        "general-practitioner" => ("médecin généraliste", "general practitioner"),
        "emergency-physician" => ("médecin urgentiste", "emergency physician"),
        "occupational-physician" => ("médecin du travail", "occupational physician"),
        "fire-brigade-physician" => ("médecin des sapeurs-pompiers", "fire brigade physician"),
        "cardiologist" => ("cardiologue", "cardiologist"),
        "radiologist" => ("radiologue", "radiologist"),
        "anaesthetist" => ("anesthésiste", "anaesthetist"),
        "psychiatrist" => ("psychiatre", "psychiatrist"),
        "surgeon" => ("chirurgien ou chirurgienne", "surgeon"),
        "dermatologist" => ("dermatologue", "dermatologist"),
        "biologist" => ("biologiste médical", "medical biologist"),
        "dentist" => ("dentiste", "dentist"),
        "physiotherapist" => ("kinésithérapeute", "physiotherapist"),
        "secretary" => ("secrétariat médical", "medical secretary"),
        "service" => ("service", "service"),
        "nurse" => ("infirmier ou infirmière", "nurse"),
        "pharmacist" => ("pharmacien ou pharmacienne", "pharmacist"),
        "midwife" => ("sage-femme", "midwife"),
        "patient" => ("patient", "patient"),
        "application" | "app" => ("application", "app"),
        "IRCP" => ("destinataire", "recipient"),
        "samu-regulator" => ("régulation du Samu", "Samu dispatch"),
        other => return other.to_owned(),
    };
    pick(lang, fr, en).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_patients_trace_has_words_of_its_own() {
        for kind in Kind::ALL.iter().filter(|kind| kind.has_patient()) {
            for lang in [Lang::Fr, Lang::En] {
                assert_ne!(verb(*kind, lang), verb(Kind::SYSTEM_EVENT, lang), "{}", kind.token());
                assert_ne!(noun(*kind, lang), kind.token(), "{lang:?}");
                let any = attempt(Kind::SYSTEM_EVENT, lang);
                assert_eq!(attempt(*kind, lang) != any, has_object(*kind), "{}", kind.token());
            }
        }
    }

    #[test]
    fn flags_are_said_in_plain_words() {
        let both = Flags::UNJUSTIFIED | Flags::LATE;
        assert_eq!(flags(both, Lang::Fr), ["sans justification enregistrée", "enregistré tardivement"]);
        assert_eq!(flags(Flags::BASIS, Lang::En), Vec::<&str>::new());
        let beyond = Flags::unjustified(UnjustifiedReason::Beyond) | Flags::BASIS;
        assert_eq!(flags(beyond, Lang::En), ["beyond what its justification permits"]);
        let basis = Some(v1::Basis { kind: BasisKind::CareTeam.into(), r#ref: String::new() });
        let record = v1::Record { basis, ..v1::Record::default() };
        let claimed = Flags::BASIS | Flags::CLAIMED;
        assert_eq!(by_right(&record, claimed, Lang::Fr), "déclare : en tant que membre de l'équipe de soins");
        assert_eq!(by_right(&record, claimed, Lang::En), "says: as a member of the care team");
        assert_eq!(by_right(&record, Flags::BASIS, Lang::En), "as a member of the care team");
    }
}
