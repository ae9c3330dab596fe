//! Texts of the login.

use super::{Both, both};
use crate::view::login::LoginProblem;

pub const CHOOSE: Both = both("Choisir un patient d’essai", "Choose a test patient");
pub const CHOOSE_LEAD: Both = both(
    "Ce registre est un essai. Choisissez la personne dont vous voulez voir la trace.",
    "This log is a test. Choose the person whose trace you want to see.",
);
pub const CHOOSE_LABEL: Both = both("Patient d’essai", "Test patient");
pub const ENTER: Both = both("Entrer", "Enter");
pub const CONFIRM: Both = both("Est-ce bien vous ?", "Is this you?");
pub const CONFIRM_LEAD: Both = both(
    "Nous avons trouvé un numéro de santé (INS) à votre nom. Confirmez-le une fois pour toutes.",
    "We found a health number (INS) in your name. Confirm it once and for all.",
);
pub const CONFIRM_NAME: Both = both("Nom", "Name");
pub const CONFIRM_BIRTH: Both = both("Date de naissance", "Date of birth");
pub const CONFIRM_ENDING: Both = both("Fin du numéro de santé", "End of the health number");
pub const CONFIRM_WHERE: Both = both(
    "Le numéro de santé est souvent celui de votre carte Vitale. Comparez les derniers chiffres.",
    "The health number is often that of your carte Vitale. Compare the last digits.",
);
pub const CONFIRM_YES: Both = both("Oui, c’est moi", "Yes, this is me");
pub const CONFIRM_NO: Both = both("Non, ce n’est pas moi", "No, this isn’t me");
pub const AGAIN: Both = both("Se connecter à nouveau", "Log in again");
pub const NOTHING_DONE: Both =
    both("Personne n’est connecté. Rien n’a été inscrit.", "Nobody is logged in. Nothing was recorded.");

/// Heading, explanation, and what to do.
pub const fn problem(problem: LoginProblem) -> (Both, Both, Both) {
    match problem {
        LoginProblem::Cancelled => (
            both("Connexion annulée", "Login cancelled"),
            both("Vous avez arrêté la connexion avant la fin.", "You stopped the login before its end."),
            both("Recommencez quand vous voulez.", "Start again whenever you like."),
        ),
        LoginProblem::LevelTooLow => (
            both("Cette connexion ne suffit pas", "This login isn’t enough"),
            both("Vos données de santé demandent une connexion plus sûre.", "Your health data ask for a safer login."),
            both(
                "Choisissez FranceConnect+, par exemple avec L’Identité Numérique La Poste ou France Identité.",
                "Choose FranceConnect+, for example with L’Identité Numérique La Poste or France Identité.",
            ),
        ),
        LoginProblem::NotFound => (
            both("Votre identité de santé n’a pas été trouvée", "Your health identity wasn’t found"),
            both(
                "Votre nom et votre date de naissance ne mènent à aucun numéro de santé (INS).",
                "Your name and date of birth lead to no health number (INS).",
            ),
            both(
                "Comparez votre pièce d’identité et votre carte Vitale. Si elles diffèrent, écrivez à votre caisse d’assurance maladie.",
                "Compare your identity document and your carte Vitale. If they differ, write to your health insurance.",
            ),
        ),
        LoginProblem::Several => (
            both("Plusieurs identités de santé vous ressemblent", "Several health identities resemble you"),
            both(
                "Deux personnes ont le même nom et la même date de naissance. Pour ne pas montrer les données d’une autre, nous n’ouvrons rien.",
                "Two people have the same name and date of birth. So as not to show another’s data, we open nothing.",
            ),
            both(
                "Demandez à votre caisse d’assurance maladie de vérifier votre numéro de santé (INS).",
                "Ask your health insurance to verify your health number (INS).",
            ),
        ),
        LoginProblem::Expired => (
            both("La connexion a pris trop de temps", "The login took too long"),
            both("Elle a expiré, ou vient d’un autre onglet.", "It ran out, or it comes from another tab."),
            both("Recommencez dans un seul onglet.", "Start again in a single tab."),
        ),
        LoginProblem::ProviderAway => (
            both("Le service de connexion ne répond pas", "The login service doesn’t answer"),
            both("La panne ne vient pas de vous.", "The failure isn’t yours."),
            both("Réessayez dans quelques minutes.", "Try again in a few minutes."),
        ),
        LoginProblem::Refused => (
            both("La réponse de connexion n’est pas valable", "The login’s answer doesn’t hold"),
            both("Par prudence, nous n’avons ouvert aucune session.", "To be safe we opened no session."),
            both(
                "Recommencez. Si cela se répète, demandez de l’aide.",
                "Start again. If it happens again, ask for help.",
            ),
        ),
        LoginProblem::TooMany => (
            both("Trop de connexions à la fois", "Too many logins at once"),
            both("Le service se protège d’un afflux.", "The service guards itself against a rush."),
            both("Réessayez dans une minute.", "Try again in a minute."),
        ),
    }
}
