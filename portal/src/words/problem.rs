//! Texts of pages that say why something can't be shown, and of pages that end a visit.

use sillage_words::Lang;

use super::{Both, Phrase, both};
use crate::view::Text;
use crate::view::problem::Problem;

/// Heading and explanation.
pub fn problem(problem: &Problem) -> (Both, Both) {
    match problem {
        Problem::Away => (
            both("Le registre ne répond pas", "The log doesn’t answer"),
            both("Vos données sont en sécurité. Rien n’est perdu.", "Your data are safe. Nothing is lost."),
        ),
        Problem::SessionOver => (
            both("Votre session est terminée", "Your session is over"),
            both(
                "Une session dure une demi-heure au plus, pour votre sécurité.",
                "A session lasts half an hour at most, for your safety.",
            ),
        ),
        Problem::FormOutOfDate => (
            both("Ce formulaire n’est plus valable", "This form is out of date"),
            both(
                "La page était ouverte depuis longtemps, ou vient d’une autre session. Rien n’a été enregistré.",
                "The page was open for long, or comes from another session. Nothing was recorded.",
            ),
        ),
        Problem::NotFound => (
            both("Cette page n’existe pas", "There is no such page"),
            both(
                "L’adresse est fausse, ou cette ligne n’est pas dans votre trace.",
                "The address is wrong, or this line isn’t in your trace.",
            ),
        ),
        Problem::NotPermitted => (
            both("Vous ne pouvez pas faire cela", "You can’t do this"),
            both(
                "Votre connexion, ou vos pouvoirs de représentant, ne le permettent pas.",
                "Your login, or your powers as a representative, don’t permit it.",
            ),
        ),
        Problem::TooMany => (
            both("Trop de demandes à la fois", "Too many requests at once"),
            both("Attendez une minute, puis réessayez.", "Wait a minute, then try again."),
        ),
        Problem::TooLarge => (
            both("L’envoi est trop long", "Too much was sent"),
            both(
                "Raccourcissez le texte, puis réessayez. Rien n’a été enregistré.",
                "Shorten the text, then try again. Nothing was recorded.",
            ),
        ),
        Problem::Refused { .. } => {
            (both("Le registre a refusé", "The log refused"), both("Rien n’a été enregistré.", "Nothing was recorded."))
        }
        Problem::Internal => (
            both("Une erreur s’est produite", "An error occurred"),
            both("Elle vient de nous. Réessayez plus tard.", "It is ours. Try again later."),
        ),
    }
}

pub const COME_BACK: Both = both("Revenez", "Come back");
pub const COME_BACK_SOON: Both = both("Revenez dans quelques minutes.", "Come back in a few minutes.");
pub const MAY_BE_RECORDED: Both = both(
    "Votre choix a peut-être été enregistré. Regardez « Mes choix » avant de recommencer. Confirmer deux fois n’inscrit qu’une fois.",
    "Your choice may be on record. Look at “My choices” before you start again. Confirming twice records once.",
);
pub const REFERENCE: Both = both("Référence pour l’assistance :", "Reference for support:");
pub const TRY_AGAIN: Both = both("Réessayer", "Try again");
pub const TO_HOME: Both = both("Aller à l’accueil", "Go to the first page");
pub const TO_CHOICES: Both = both("Voir mes choix", "See my choices");
pub const CODE: Both = both("Code :", "Code:");

pub const LOGGED_OUT: Both = both("Vous êtes déconnecté", "You are logged out");
pub const LOGGED_OUT_LEAD: Both = both(
    "La session est fermée. Cet appareil ne garde rien de votre visite sur ce site.",
    "The session is closed. This device keeps nothing of your visit to this site.",
);
pub const CLOSE_WINDOW: Both = both(
    "Sur un appareil partagé, fermez aussi la fenêtre du navigateur.",
    "On a shared device, close the browser’s window too.",
);
pub const KIOSK_WARNING: Both = both("Êtes-vous encore là ?", "Are you still there?");
pub const KIOSK_GO_ON: Both = both("Oui, continuer", "Yes, go on");
pub const KIOSK_STOP: Both = both("Terminer maintenant", "Stop now");
pub const KIOSK_END: Both = both("La visite est terminée", "The visit is over");
pub const KIOSK_END_LEAD: Both = both(
    "Rien ne reste sur cet appareil. La personne suivante peut commencer.",
    "Nothing is left on this device. The next person can begin.",
);
pub const KIOSK_BEGIN: Both = both("Commencer", "Begin");

/// The session is still open in the log: it ends by itself.
pub fn left_open(until: &Text, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => {
            format!("La fin de votre visite n'a pas pu être enregistrée. La session se termine d'elle-même {until}.")
        }
        Lang::En => format!("The end of your visit could not be recorded. The session ends by itself on {until}."),
    })
}

/// `Sans réponse, la visite se termine dans 60 secondes.`
pub fn kiosk_ends_in(seconds: u16, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => format!("Sans réponse, la visite se termine dans {seconds} secondes."),
        Lang::En => format!("Without an answer the visit ends in {seconds} seconds."),
    })
}
