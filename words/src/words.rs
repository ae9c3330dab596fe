//! Words for the parts of a record, in both languages side by side; those of tokens are in [`vocabulary`].

use sillage_proto::v1::{self, BasisKind, Outcome};
use sillage_rules::entry::{Flags, UnjustifiedReason};
use sillage_rules::kind::Kind;

use super::{Lang, vocabulary};

/// The target of the basis of a decision that an establishment made by its own rules, in emergency mode.
pub const EMERGENCY_MODE: &str = "emergency-mode";

/// Picks the language.
pub fn pick<'a>(lang: Lang, fr: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Fr => fr,
        Lang::En => en,
    }
}

/// The actor's deed, as the verb of a sentence: "a consulté".
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
        "contest.closed" => ("a clos une contestation", "closed a contest"),
        "session.opened" => ("a ouvert une session pour consulter la trace", "opened a session to read the trace"),
        "session.closed" => ("a fermé une session de consultation", "closed a session of reading"),
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

/// The deed that an actor tried and didn't do: of accesses and movements whose outcome is no success.
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

/// Tells whether the verb needs an object: the thing that was read, sent or deleted.
pub fn has_object(kind: Kind) -> bool {
    kind.is_access() || kind.is_movement()
}

/// A kind in two or three words, for the table.
pub fn noun(kind: Kind, lang: Lang) -> String {
    vocabulary::word(vocabulary::KINDS, kind.token(), lang)
}

/// Why, in plain words; a purpose that isn't known is shown as it is.
pub fn purpose(code: &str, lang: Lang) -> String {
    match (vocabulary::find(vocabulary::PURPOSES, code, lang), lang) {
        (Some(word), _) => word.to_owned(),
        (None, _) if code.is_empty() => String::new(),
        (None, Lang::Fr) => format!("pour le motif {code}"),
        (None, Lang::En) => format!("for the purpose {code}"),
    }
}

/// By what right it happened, in plain words; empty where the record doesn't say.
pub fn by_right(record: &v1::Record, flags: Flags, lang: Lang) -> String {
    let right = match &record.basis {
        None => return String::new(),
        Some(by) if by.kind() == BasisKind::Legal && by.r#ref == EMERGENCY_MODE => {
            vocabulary::find(vocabulary::BASES, EMERGENCY_MODE, lang).expect("emergency mode has a word")
        }
        Some(by) => basis(by.kind(), lang),
    };
    if !flags.contains(Flags::CLAIMED) {
        return right.to_owned();
    }
    let says = vocabulary::word(vocabulary::FLAGS, "CLAIMED", lang);
    format!("{says}{} {right}", pick(lang, " :", ":"))
}

/// By what right, in plain words.
pub fn basis(kind: BasisKind, lang: Lang) -> &'static str {
    let token = match kind {
        BasisKind::None => return "",
        BasisKind::Decision => "decision",
        BasisKind::Breakglass => "breakglass",
        BasisKind::CareTeam => "care_team",
        BasisKind::Consent => "consent",
        BasisKind::Self_ => "self",
        BasisKind::Legal => "legal",
    };
    vocabulary::find(vocabulary::BASES, token, lang).expect("every basis has a word")
}

/// The remarks that a reader should know, in plain words.
pub fn flags(flags: Flags, lang: Lang) -> Vec<&'static str> {
    let unjustified = flags.unjustified_reason().map(|reason| unjustified(reason, lang));
    let all = [(Flags::LATE, "LATE"), (Flags::DEFERRED, "DEFERRED"), (Flags::LEDGER, "LEDGER")];
    let set = all.into_iter().filter(|(flag, _)| flags.contains(*flag));
    let words = set.filter_map(|(_, token)| vocabulary::find(vocabulary::FLAGS, token, lang));
    unjustified.into_iter().chain(words).collect()
}

/// Why an access is unjustified.
fn unjustified(reason: UnjustifiedReason, lang: Lang) -> &'static str {
    vocabulary::find(vocabulary::UNJUSTIFIED, reason.token(), lang).expect("every reason has a word")
}

/// How it ended; empty for a success.
pub fn outcome(outcome: Outcome, lang: Lang) -> &'static str {
    let token = match outcome {
        Outcome::Unspecified | Outcome::Success => return "",
        Outcome::MinorFailure => "minor_failure",
        Outcome::SeriousFailure => "serious_failure",
        Outcome::MajorFailure => "major_failure",
    };
    vocabulary::find(vocabulary::OUTCOMES, token, lang).expect("every failure has a word")
}

/// The category of a document as people say it; unknown ones are shown as they are.
pub fn category(token: &str, lang: Lang) -> String {
    vocabulary::word(vocabulary::CATEGORIES, token, lang)
}

/// A role or profession as people say it; unknown ones are shown as they are.
pub fn role(token: &str, lang: Lang) -> String {
    vocabulary::word(vocabulary::ROLES, token, lang)
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
