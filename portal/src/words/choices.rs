//! Texts of « Mes choix »: list, forms, preview, confirmation.

use sillage_words::Lang;

use super::{Both, Phrase, both, dates};
use crate::view::choices::Sort;

pub const LEAD: Both = both(
    "Vous décidez qui voit quoi. Avant chaque choix, vous voyez ce qu’il change.",
    "You decide who sees what. Before each choice you see what it changes.",
);
pub const HELD: Both = both("Vos choix en vigueur", "Your choices in force");
pub const NONE_HELD: Both = both(
    "Vous n’avez fait aucun choix. Les règles de la loi s’appliquent.",
    "You have made no choice. The rules of the law apply.",
);
pub const NEW: Both = both("Faire un choix", "Make a choice");
pub const GIVE: Both = both("Ouvrir", "Open up");
pub const LIMIT: Both = both("Limiter", "Limit");
pub const PEOPLE: Both = both("Nommer une personne", "Name a person");
pub const WHOLE_SPACE: Both = both("Tout fermer", "Close everything");
pub const RECORDED_AS: Both = both("Inscrit sous le n°", "Recorded as no.");
pub const SECRET: Both = both("Caché à vos représentants", "Kept from your representatives");

/// Name of a sort, as a link and as a heading.
pub const fn name(sort: Sort) -> Both {
    match sort {
        Sort::Permit => both("Autoriser une personne ou un service", "Permit a person or a service"),
        Sort::Deny => both("Refuser l’accès à une personne ou un service", "Deny a person or a service access"),
        Sort::Mask => both("Masquer un document", "Hide a document"),
        Sort::Block => both("Bloquer une personne", "Block a person"),
        Sort::OpposeFeed => both("Refuser qu’une source ajoute des documents", "Refuse documents from a source"),
        Sort::OpposeEmergency => both("Refuser les accès en urgence", "Refuse emergency access"),
        Sort::Attending => both("Déclarer mon médecin traitant", "Name my attending doctor"),
        Sort::Team => both("Ajouter une personne à mon équipe de soins", "Add a person to my care team"),
        Sort::Trusted => both("Choisir ma personne de confiance", "Choose my trusted person"),
        Sort::Withdraw => both("Retirer un choix", "Withdraw a choice"),
        Sort::Close => both("Fermer mon espace", "Close my space"),
    }
}

/// The explanation of a sort, below its link and on its form.
pub const fn explained(sort: Sort) -> Both {
    match sort {
        Sort::Permit => both("Pour toujours, ou pour un temps.", "For ever, or for a time."),
        Sort::Deny => both("Un refus passe avant toutes les autorisations.", "A denial stands above every permission."),
        Sort::Mask => both(
            "La plupart des professionnels ne le verront plus. Vous le voyez toujours.",
            "Most professionals won’t see it any more. You still see it.",
        ),
        Sort::Block => both(
            "Elle ne verra plus que ce qu’elle a déposé elle-même.",
            "They will only see what they deposited themselves.",
        ),
        Sort::OpposeFeed => both(
            "Les documents de cette source n’arriveront plus dans votre dossier.",
            "Documents of this source won’t come into your record any more.",
        ),
        Sort::OpposeEmergency => both(
            "En urgence, personne n’ouvrira vos documents sans vous.",
            "In an emergency nobody will open your documents without you.",
        ),
        Sort::Attending => both(
            "Le médecin traitant voit tout votre dossier pour vous soigner.",
            "The attending doctor sees your whole record to treat you.",
        ),
        Sort::Team => both(
            "L’équipe de soins réunit les professionnels qui vous suivent ensemble.",
            "The care team are the professionals who look after you together.",
        ),
        Sort::Trusted => both(
            "Elle est consultée si vous ne pouvez pas parler. Elle ne voit rien avant.",
            "They are asked if you can’t speak. They see nothing before.",
        ),
        Sort::Withdraw => both("Ce choix ne vaudra plus.", "This choice won’t hold any more."),
        Sort::Close => {
            both("Plus aucun professionnel n’utilisera votre espace.", "No professional will use your space any more.")
        }
    }
}

pub const WITHDRAW: Both = both("Retirer ce choix", "Withdraw this choice");
pub const WITHDRAWN_RULE: Both = both("Le choix que vous retirez", "The choice that you withdraw");

pub const GRANTEE: Both = both("De qui s’agit-il ?", "Who is it about?");
pub const GRANTEE_PERSON: Both = both("Une personne", "A person");
pub const GRANTEE_STRUCTURE: Both = both("Un service ou un établissement", "A service or an establishment");
pub const STRUCTURE: Both = both("Quel service ou établissement ?", "Which service or establishment?");
pub const PERSON: Both = both("Quelle personne ?", "Which person?");
pub const PERSON_HINT: Both = both(
    "La liste montre les professionnels déjà présents dans votre trace.",
    "The list shows professionals who are in your trace already.",
);
pub const OTHER_PERSON: Both = both("Une autre personne", "Another person");
pub const NUMBER: Both = both("Numéro RPPS de cette personne", "RPPS number of this person");
pub const NUMBER_HINT: Both = both(
    "11 chiffres. Il se trouve sur les ordonnances et dans l’annuaire de la santé.",
    "11 digits. It stands on prescriptions and in the health directory.",
);
pub const DOCUMENT: Both = both("Quels documents ?", "Which documents?");
pub const NO_DOCUMENT: Both =
    both("Aucun document n’est connu ici pour le moment.", "No document is known here for now.");
pub const EXTENT: Both = both("Pour quels documents ?", "For which documents?");
pub const WHOLE: Both = both("Tous mes documents", "All my documents");
pub const SOME: Both = both("Seulement ces catégories :", "Only these categories:");
pub const CATEGORIES: Both = both("Catégories de documents", "Categories of documents");
pub const DURATION: Both = both("Pour combien de temps ?", "For how long?");
pub const ALWAYS: Both = both("Jusqu’à ce que je retire ce choix", "Until I withdraw this choice");
pub const UNTIL: Both = both("Jusqu’à une date", "Until a date");
pub const UNTIL_DAY: Both = both("Dernier jour", "Last day");
pub const UNTIL_HINT: Both = both("Ce jour est compris.", "That day is included.");
pub const FEED: Both = both("Quelle source ?", "Which source?");
pub const CASES: Both = both("Dans quels cas ?", "In which cases?");
pub const IDENTIFIER: Both = both("Identifiant de cette personne", "Identifier of this person");
pub const IDENTIFIER_HINT: Both =
    both("Elle le trouve sur sa page « Mes proches ».", "They find it on their page “My family”.");
pub const CHOOSE: Both = both("Choisir", "Choose");
pub const CLOSE_ASSURED: Both = both(
    "Vos choix et votre trace restent. Vous pourrez toujours les lire.",
    "Your choices and your trace stay. You can always read them.",
);

pub const HIDE_HEAD: Both = both("Garder ce choix pour vous", "Keep this choice to yourself");
pub const HIDE: Both = both("Cacher ce choix à mes représentants", "Keep this choice from my representatives");
pub const HIDE_FACTS: [Both; 4] = [
    both(
        "Vos parents ne verront ni ce choix, ni les accès qui en dépendent.",
        "Your parents won’t see this choice, nor accesses that go with it.",
    ),
    both("Les professionnels qui vous soignent les voient.", "The professionals who treat you see them."),
    both("Un courrier ou un remboursement peut encore en parler.", "A letter or a reimbursement can still tell of it."),
    both("Vous pourrez montrer ce choix plus tard.", "You can show this choice later."),
];

pub const ANSWER_ALL: Both = both("Chaque question demande une réponse.", "Each question needs an answer.");
pub const SEE_EFFECT: Both = both("Voir l’effet avant de confirmer", "See the effect before confirming");
pub const NOTHING_YET: Both = both("Rien n’est encore enregistré.", "Nothing is on record yet.");

pub const PREVIEW: Both = both("Vérifiez avant de confirmer", "Check before you confirm");
pub const CHOSEN: Both = both("Votre choix", "Your choice");
pub const CHANGE: Both = both("Modifier", "Change");
pub const LATER: Both = both("Ce choix vaudra à partir du", "This choice will hold from");
pub const GAINS: Both = both("Ce qui s’ouvre", "New access");
pub const LOSSES: Both = both("Ce qui se ferme", "Lost access");
pub const NO_EFFECT: Both = both(
    "Personne ne gagne ni ne perd d’accès à ce qui est connu aujourd’hui.",
    "Nobody gains or loses access to what is known today.",
);
pub const STAYS: Both = both("Ce qui reste vrai ensuite", "Still true afterwards");
pub const HARM: Both = both(
    "Vos soins peuvent en souffrir. Un professionnel pourrait ne pas voir une information importante.",
    "Your care may suffer. A professional might miss important information.",
);
pub const HARM_HIDDEN: Both = both(
    "Les professionnels ne voient pas que vous limitez leur accès.",
    "Professionals don’t see that you limit their access.",
);
pub const WILL_BE_SECRET: Both =
    both("Ce choix sera caché à vos représentants.", "This choice will be kept from your representatives.");
pub const WILL_BE_SEEN: Both = both(
    "Vos représentants verront ce choix dans votre trace.",
    "Your representatives will see this choice in your trace.",
);
pub const LOGIN_AGAIN: Both = both(
    "Pour ce choix, vous devrez vous connecter encore une fois.",
    "For this choice you will have to log in once more.",
);
pub const CONFIRM: Both = both("Confirmer et enregistrer", "Confirm and record");
pub const CONFIRM_LOGIN: Both = both("Se connecter et confirmer", "Log in and confirm");

pub const DONE: Both = both("C’est enregistré", "It is on record");
pub const DONE_AGAIN: Both = both(
    "Ce choix était déjà enregistré. Il n’est inscrit qu’une fois.",
    "This choice was on record already. It is recorded once.",
);
pub const RECEIPT: Both = both("Accusé d’inscription", "Receipt");
pub const RECEIPT_HELP: Both = both(
    "Un accusé prouve que votre choix est inscrit. Gardez-en une copie si vous le souhaitez.",
    "A receipt proves that your choice is on record. Keep a copy if you like.",
);
pub const RECORDED: Both = both("Enregistré le", "Recorded on");
pub const RECEIPT_FILE: Both = both("Télécharger l’accusé", "Download the receipt");
pub const UNDO: Both = both("Revenir sur ce choix", "Take this choice back");
pub const ALL: Both = both("Voir tous mes choix", "See all my choices");
pub const LINE: Both = both("Voir la ligne dans ma trace", "See the line in my trace");

/// `N° 4711`, in large letters.
pub fn numbered(index: u64, lang: Lang) -> Phrase {
    let number = dates::number(index, lang);
    Phrase::from(match lang {
        Lang::Fr => format!("Inscription n° {number}"),
        Lang::En => format!("Entry no. {number}"),
    })
}

/// The words that tell the link of one choice from those of others: `n° 4711`.
pub fn of_choice(index: u64, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => format!(" (n° {index})"),
        Lang::En => format!(" (no. {index})"),
    })
}
