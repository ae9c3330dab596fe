//! Texts of the frame of each page, and words that several pages share.

use super::{Both, Phrase, both, dates};
use crate::view::trace::Badge;
use jiff::civil::Time;
use sillage_words::Lang;

/// Name of the site. It says nothing of health: a page's title stands in the history of a browser.
pub const SITE: Both = both("Sillage", "Sillage");
pub const SKIP: Both = both("Aller au contenu", "Skip to content");
pub const HOME: Both = both("Accueil", "Home");
pub const HOME_LINK: Both = both("Sillage, accueil", "Sillage, home");
pub const TRACE: Both = both("Qui a accédé ?", "Who had access?");
pub const ACCESS: Both = both("Qui peut accéder ?", "Who has access?");
pub const CHOICES: Both = both("Mes choix", "My choices");
pub const EMERGENCIES: Both = both("Accès en urgence", "Emergency access");
pub const QUESTIONS: Both = both("Mes questions", "My questions");
pub const SOURCES: Both = both("Qui alimente ma trace ?", "Who records into my trace?");
pub const TAKE: Both = both("Emporter et vérifier", "Take along and check");
pub const FAMILY: Both = both("Mes proches", "My family");
pub const HELP: Both = both("Aide", "Help");
pub const ACCESSIBILITY: Both = both("Accessibilité : partiellement conforme", "Accessibility: partially compliant");
pub const SECTIONS: Both = both("Rubriques", "Sections");
pub const PAGES: Both = both("Pages de la trace", "Pages of the trace");
pub const ACCOUNT: Both = both("Votre session", "Your session");
pub const OTHER_LANGUAGE: Both = both("English", "Français");
pub const QUICK_EXIT: Both = both("Quitter vite", "Exit quickly");
pub const LOG_OUT: Both = both("Se déconnecter", "Log out");
pub const KIOSK_STOP: Both = both("Terminer ma visite", "End my visit");
pub const LOG_IN_AGAIN: Both = both("Se reconnecter", "Log in again");
pub const SWITCH: Both = both("Changer de personne", "Switch person");
pub const BACK: Both = both("Retour", "Back");
pub const CANCEL: Both = both("Annuler", "Cancel");
pub const TEST_LOG: Both = both("Registre d’essai : ces données sont inventées.", "Test log: these data are made up.");
pub const PROBLEM: Both = both("Il y a un problème", "There is a problem");
pub const ERROR: Both = both("Erreur", "Error");
pub const IMPORTANT: Both = both("Important", "Important");
pub const HELP_HEAD: Both = both("Besoin d’aide ?", "Need help?");
pub const NUMBER: Both = both("n°", "no.");

pub const ENDING: Both = both(
    "Votre session se termine dans moins de 3 minutes. Terminez ce que vous faites, ou reconnectez-vous.",
    "Your session ends in less than 3 minutes. Finish what you are doing, or log in again.",
);

/// `Connecté par FranceConnect+ jusqu’à 14 h 32`.
pub fn logged_in(login: &str, until: Time, lang: Lang) -> Phrase {
    let until = dates::clock(until, lang);
    Phrase::from(match lang {
        Lang::Fr => format!("{login}, jusqu’à {}", until.as_str()),
        Lang::En => format!("{login}, until {}", until.as_str()),
    })
}

pub const ACTING_FOR: Both = both("Vous regardez les pages de", "You are looking at the pages of");
pub const AS_REPRESENTATIVE: Both = both(
    "Ce que vous lisez et décidez ici est inscrit à votre nom.",
    "What you read and decide here is recorded under your name.",
);

/// Title of a page whose form has errors.
pub fn erroneous(title: &Phrase, lang: Lang) -> Phrase {
    let colon = if lang == Lang::Fr { " : " } else { ": " };
    Phrase::from(format!("{}{colon}{}", ERROR.of(lang).as_str(), title.as_str()))
}

/// Word of a badge.
pub const fn badge(badge: Badge) -> Both {
    match badge {
        Badge::New => both("Nouveau", "New"),
        Badge::OutsideTeam => both("Hors équipe de soins", "Outside the care team"),
        Badge::Emergency => both("Urgence", "Emergency"),
        Badge::Refused => both("Refusé", "Refused"),
        Badge::Unjustified => both("Sans justification", "No justification"),
        Badge::RecordedLate => both("Enregistré tard", "Recorded late"),
        Badge::Voided => both("Annulé", "Voided"),
        Badge::Secret => both("Caché aux représentants", "Kept from representatives"),
    }
}

/// Its explanation, one short sentence.
pub const fn badge_help(badge: Badge) -> Both {
    match badge {
        Badge::New => both("Inscrit depuis votre dernière visite.", "Recorded since your last visit."),
        Badge::OutsideTeam => both(
            "La personne n’est ni dans votre équipe de soins, ni autorisée par vous.",
            "The person is neither in your care team nor permitted by you.",
        ),
        Badge::Emergency => both(
            "Un accès ouvert en urgence, à justifier ensuite.",
            "An access opened in an emergency, to be justified afterwards.",
        ),
        Badge::Refused => both("La personne a demandé, et n’a rien vu.", "The person asked, and saw nothing."),
        Badge::Unjustified => both("Aucune raison valable n’est enregistrée.", "No reason that holds is on record."),
        Badge::RecordedLate => {
            both("Inscrit plus d’un jour après les faits.", "Recorded more than a day after it happened.")
        }
        Badge::Voided => both("Cet enregistrement ne compte plus.", "This record counts for nothing."),
        Badge::Secret => {
            both("Vos représentants ne voient pas cette ligne.", "Your representatives don’t see this line.")
        }
    }
}
