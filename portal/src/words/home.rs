//! Texts of the first pages.

use sillage_words::Lang;

use super::{Both, Phrase, both, counted};
use crate::view::home::Notice;

pub const HELLO: Both = both("Bonjour", "Hello");
pub const NEWS_NONE: Both = both("Rien de nouveau depuis votre dernière visite", "Nothing new since your last visit");
pub const SINCE: Both = both("Dernière visite :", "Last visit:");
const LINES: (Both, Both) = (both("nouvel accès", "new access"), both("nouveaux accès", "new accesses"));

/// `3 nouveaux accès depuis votre dernière visite`.
pub fn news(n: u32, lang: Lang) -> Phrase {
    let count = counted(u64::from(n), LINES, lang);
    Phrase::from(match lang {
        Lang::Fr => format!("{} depuis votre dernière visite", count.as_str()),
        Lang::En => format!("{} since your last visit", count.as_str()),
    })
}

pub const SEE_THEM: Both = both("Voir qui a accédé", "See who had access");
pub const ATTENTION: Both = both("À regarder", "Please look at");
pub const LOW_LEVEL: Both = both(
    "Avec cette connexion, vous pouvez lire, mais pas décider. Pour décider, connectez-vous avec FranceConnect+.",
    "With this login you can read, but not decide. To decide, log in with FranceConnect+.",
);

/// Head of a card of the first page, and the line below it.
pub const TRACE_CARD: Both = both(
    "Les accès à vos données, jour par jour, avec leur raison.",
    "Accesses to your data, day by day, with their reason.",
);
pub const ACCESS_CARD: Both = both(
    "Les personnes qui peuvent ouvrir vos documents, et pourquoi.",
    "People who can open your documents, and why.",
);
pub const CHOICES_CARD: Both = both(
    "Autoriser, bloquer, masquer. Vous voyez l’effet avant de confirmer.",
    "Permit, block, hide. You see the effect before you confirm.",
);
pub const EMERGENCIES_CARD: Both =
    both("Ce qui a été ouvert en urgence, et ce qui a suivi.", "Accesses opened in an emergency, and what followed.");
pub const QUESTIONS_CARD: Both = both("Vos demandes et leurs réponses.", "Your questions and their answers.");
pub const SOURCES_CARD: Both = both(
    "Les services qui enregistrent ici, et ceux qui manquent.",
    "Services that record here, and those that are missing.",
);
pub const TAKE_CARD: Both = both(
    "Télécharger, imprimer, et vérifier que rien ne manque.",
    "Download, print, and check that nothing is missing.",
);
pub const FAMILY_CARD: Both = both(
    "Les personnes que vous représentez, et qui vous représentent.",
    "People whom you represent, and who represent you.",
);

/// A notice as a sentence.
pub fn notice(notice: &Notice, lang: Lang) -> Phrase {
    let said = |n: u32, one: Both, many: Both| counted(u64::from(n), (one, many), lang);
    match notice {
        Notice::EmergencyOverdue(n) => said(
            *n,
            both("accès en urgence n’a pas été justifié à temps.", "emergency access wasn’t justified in time."),
            both("accès en urgence n’ont pas été justifiés à temps.", "emergency accesses weren’t justified in time."),
        ),
        Notice::Emergency(n) => said(
            *n,
            both("accès en urgence depuis votre dernière visite.", "emergency access since your last visit."),
            both("accès en urgence depuis votre dernière visite.", "emergency accesses since your last visit."),
        ),
        Notice::Unjustified(n) => said(
            *n,
            both(
                "accès sans justification depuis votre dernière visite.",
                "access without a justification since your last visit.",
            ),
            both(
                "accès sans justification depuis votre dernière visite.",
                "accesses without a justification since your last visit.",
            ),
        ),
        Notice::Answered(n) => said(
            *n,
            both("réponse à vos questions est arrivée.", "answer to your questions has come."),
            both("réponses à vos questions sont arrivées.", "answers to your questions have come."),
        ),
        Notice::AnswerOverdue(n) => said(
            *n,
            both("de vos questions attend une réponse en retard.", "of your questions waits for an overdue answer."),
            both("de vos questions attendent une réponse en retard.", "of your questions wait for overdue answers."),
        ),
        Notice::SilentSources(n) => said(
            *n,
            both("service n’enregistre plus rien depuis longtemps.", "service has recorded nothing for long."),
            both("services n’enregistrent plus rien depuis longtemps.", "services have recorded nothing for long."),
        ),
        Notice::NotProven => {
            both("Votre trace n’a pas pu être comparée au registre.", "Your trace couldn’t be held against the log.")
                .of(lang)
        }
    }
}

pub const WELCOME: Both = both("Qui a vu vos données ?", "Who has seen your data?");
pub const WELCOME_LEAD: Both = both(
    "Chaque accès à vos données laisse une trace ici. Vous pouvez la lire, poser des questions, et décider.",
    "Each access to your data leaves a trace here. You can read it, ask questions, and decide.",
);
pub const WELCOME_POINTS: [Both; 4] = [
    both("Voir qui a consulté vos documents, quand et pourquoi.", "See who read your documents, when and why."),
    both("Demander pourquoi. Le service répond en un mois.", "Ask why. The service answers within a month."),
    both("Autoriser, bloquer une personne, masquer un document.", "Permit, block a person, hide a document."),
    both("Vérifier vous-même que rien n’a été retiré.", "Check yourself that nothing was taken out."),
];
pub const WELCOME_READ: Both = both(
    "Votre visite est inscrite dans votre trace. Un inconnu qui entre à votre place s’y voit aussi.",
    "Your visit is recorded in your trace. A stranger who enters in your place shows there too.",
);
pub const WELCOME_FILE: Both =
    both("Vous avez déjà un fichier .sillage-trace ?", "Do you have a .sillage-trace file already?");
pub const WELCOME_CHECK: Both = both("Vérifier un fichier sans se connecter", "Check a file without logging in");

/// `Se connecter avec FranceConnect+`.
pub fn log_in_with(login: &str, lang: Lang) -> Phrase {
    Phrase::from(match (lang, login.is_empty()) {
        (Lang::Fr, true) => "Se connecter".to_owned(),
        (Lang::Fr, false) => format!("Se connecter avec {login}"),
        (Lang::En, true) => "Log in".to_owned(),
        (Lang::En, false) => format!("Log in with {login}"),
    })
}

/// The link of a notice. It says where it leads, apart from the names of the pages.
pub const fn look(notice: &Notice) -> Both {
    match notice {
        Notice::EmergencyOverdue(_) => both("Voir ce qui manque", "See what is missing"),
        Notice::Emergency(_) => both("Voir ces accès en urgence", "See these emergency accesses"),
        Notice::Unjustified(_) => both("Voir ces accès", "See these accesses"),
        Notice::Answered(_) => both("Lire la réponse", "Read the answer"),
        Notice::AnswerOverdue(_) => both("Voir la question", "See the question"),
        Notice::SilentSources(_) => both("Voir quels services", "See which services"),
        Notice::NotProven => both("Lancer la vérification", "Start the check"),
    }
}
