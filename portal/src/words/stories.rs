//! Texts of emergencies and questions.

use jiff::civil::Date;
use sillage_words::Lang;

use super::{Both, Phrase, both, dates};
use crate::view::stories::{ContestState, EmergencyState};

pub const EMERGENCIES_LEAD: Both = both(
    "En urgence, un professionnel peut ouvrir votre dossier sans votre accord. Il doit dire pourquoi.",
    "In an emergency a professional can open your record without your consent. They must say why.",
);
pub const EMERGENCIES_REVIEW: Both = both(
    "Chaque accès en urgence est ensuite justifié, puis contrôlé par une autre personne.",
    "Each emergency access is then justified, and reviewed by somebody else.",
);
pub const NO_EMERGENCY: Both =
    both("Personne n’a ouvert votre dossier en urgence.", "Nobody has opened your record in an emergency.");
pub const REASON: Both = both("La raison donnée", "The reason given");
pub const STEPS: Both = both("Ce qui s’est passé", "The course of events");
pub const SEE_LINE: Both = both("Voir la ligne", "See the line");
pub const ASK: Both = both("Demander pourquoi", "Ask why");
pub const REFUSE_ALL: Both = both("Refuser les accès en urgence", "Refuse emergency access");

/// State of an emergency access: a short word, and a sentence.
pub fn emergency(state: &EmergencyState, lang: Lang) -> (Phrase, Phrase) {
    let with = |fr: &str, en: &str, due: &str| {
        Phrase::from(match lang {
            Lang::Fr => format!("{fr} {due}."),
            Lang::En => format!("{en} {due}."),
        })
    };
    match state {
        EmergencyState::Open { due } => (
            both("En cours", "Open").of(lang),
            with(
                "L’accès est encore ouvert. Il doit être justifié avant le",
                "The access is still open. It must be justified by",
                due.as_str(),
            ),
        ),
        EmergencyState::Waiting { due } => (
            both("À justifier", "To be justified").of(lang),
            with("L’accès doit être justifié avant le", "The access must be justified by", due.as_str()),
        ),
        EmergencyState::Overdue { due } => (
            both("En retard", "Overdue").of(lang),
            with(
                "La justification manque. Elle était due le",
                "The justification is missing. It was due on",
                due.as_str(),
            ),
        ),
        EmergencyState::Justified => (
            both("Justifié", "Justified").of(lang),
            both("L’accès est justifié. Son contrôle est à venir.", "The access is justified. Its review is to come.")
                .of(lang),
        ),
        EmergencyState::Accepted => (
            both("Contrôlé : régulier", "Reviewed: in order").of(lang),
            both(
                "Une autre personne a contrôlé cet accès. Il était régulier.",
                "Somebody else reviewed this access. It was in order.",
            )
            .of(lang),
        ),
        EmergencyState::Rejected => (
            both("Contrôlé : irrégulier", "Reviewed: not in order").of(lang),
            both(
                "Une autre personne a contrôlé cet accès. Il n’était pas régulier.",
                "Somebody else reviewed this access. It wasn’t in order.",
            )
            .of(lang),
        ),
    }
}

pub const QUESTIONS_LEAD: Both = both(
    "Vous pouvez demander pourquoi, depuis chaque ligne de votre trace.",
    "You can ask why from each line of your trace.",
);
pub const NO_QUESTION: Both = both("Vous n’avez posé aucune question.", "You have asked no question.");
pub const TO_TRACE: Both = both("Choisir une ligne de ma trace", "Choose a line of my trace");
pub const ASKED: Both = both("Votre question est partie.", "Your question is on its way.");
pub const CLOSE: Both = both("Clore cette question", "Close this question");
pub const CLOSE_HELP: Both = both(
    "Si la réponse ne suffit pas, vous pouvez saisir la CNIL (cnil.fr).",
    "If the answer doesn’t suffice, you can turn to the CNIL (cnil.fr).",
);

/// State of a question in two words.
pub const fn contest(state: ContestState) -> Both {
    match state {
        ContestState::Waiting => both("En attente", "Waiting"),
        ContestState::Overdue => both("Réponse en retard", "Answer overdue"),
        ContestState::Answered => both("Répondu", "Answered"),
        ContestState::AnsweredLate => both("Répondu en retard", "Answered late"),
        ContestState::Closed => both("Close", "Closed"),
    }
}

/// `Posée le 2 mars 2026 à CHU de Test. Réponse due le 1er avril 2026.`
pub fn dates_of(asked: Date, to: &str, due: Date, lang: Lang) -> Phrase {
    let (asked, due) = (dates::day(asked, lang), dates::day(due, lang));
    let (asked, due) = (asked.as_str(), due.as_str());
    Phrase::from(match lang {
        Lang::Fr => format!("Posée le {asked} à : {to}. Réponse due le {due}."),
        Lang::En => format!("Asked on {asked}, to: {to}. Answer due on {due}."),
    })
}

/// `Réponse de CHU de Test, 12 mars 2026`.
pub fn answer_of(by: &str, day: Date, lang: Lang) -> Phrase {
    let day = dates::day(day, lang);
    Phrase::from(match lang {
        Lang::Fr => format!("Réponse de {by}, {}", day.as_str()),
        Lang::En => format!("Answer of {by}, {}", day.as_str()),
    })
}

/// Title of a question: `Question n° 4800`.
pub fn question(index: u64, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => format!("Question n° {index}"),
        Lang::En => format!("Question no. {index}"),
    })
}

/// `Voir la ligne n° 4711`.
pub fn see_line(index: u64, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => format!("Voir la ligne n° {index}"),
        Lang::En => format!("See line no. {index}"),
    })
}

pub const ASK_TITLE: Both = both("Demander pourquoi", "Ask why");
pub const ASK_TO: Both = both("Votre question ira à", "Your question goes to");
pub const ASK_LABEL: Both = both("Que voulez-vous savoir ?", "Your question");
pub const ASK_HINT: Both = both(
    "Obligatoire. Par exemple : « Je n’ai jamais vu ce médecin. Pourquoi a-t-il ouvert mon compte rendu ? » Environ 4 000 caractères au plus.",
    "Required. For example: “I have never seen this doctor. Why did they open my report?” About 4,000 characters at most.",
);
pub const ASK_DUE: Both = both(
    "Le service doit répondre en un mois. La question et la réponse paraissent dans votre trace.",
    "The service must answer within a month. Question and answer appear in your trace.",
);
pub const ASK_SEND: Both = both("Envoyer la question", "Send the question");
