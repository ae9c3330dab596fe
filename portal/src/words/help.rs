//! Texts of the help page and of the declaration of accessibility.

use super::{Both, both};

pub const LEAD: Both =
    both("Les mots et les gestes de ce site, expliqués.", "Words and steps of this site, explained.");

/// Questions and answers.
pub const ANSWERS: [(Both, Both); 8] = [
    (
        both("Qu’est-ce qu’une trace ?", "What is a trace?"),
        both(
            "La liste de tous les accès à vos données de santé, avec vos choix. Chaque ligne dit qui, quand, quoi et pourquoi.",
            "The list of all accesses to your health data, with your choices. Each line says who, when, what and why.",
        ),
    ),
    (
        both("Qu’est-ce que le registre ?", "What is the log?"),
        both(
            "Le livre où les services inscrivent les accès. On peut y ajouter, jamais en retirer sans que cela se voie.",
            "The book in which services record accesses. One can add to it, and never take anything out unseen.",
        ),
    ),
    (
        both("Qu’est-ce que l’équipe de soins ?", "What is the care team?"),
        both(
            "Les professionnels qui vous soignent ensemble, par exemple pendant un séjour à l’hôpital.",
            "The professionals who treat you together, for example during a stay in hospital.",
        ),
    ),
    (
        both("Qu’est-ce qu’un accès en urgence ?", "What is an emergency access?"),
        both(
            "Un professionnel ouvre votre dossier sans votre accord, parce que votre vie est en jeu. Il doit dire pourquoi. Une autre personne contrôle.",
            "A professional opens your record without your consent, because your life is at stake. They must say why. Somebody else reviews it.",
        ),
    ),
    (
        both("Masquer ou bloquer ?", "Hide or block?"),
        both(
            "Masquer cache un document à presque tous. Bloquer cache tout à une personne, sauf ce qu’elle a déposé.",
            "Hiding keeps a document from almost everybody. Blocking keeps everything from one person, but for what they deposited.",
        ),
    ),
    (
        both("Je ne reconnais pas une personne. Que faire ?", "I don’t know a person. What can I do?"),
        both(
            "Ouvrez la ligne, puis « Demander pourquoi ». Le service répond en un mois. Vous pouvez aussi bloquer la personne.",
            "Open the line, then “Ask why”. The service answers within a month. You can also block the person.",
        ),
    ),
    (
        both("Que prouve la vérification ?", "What does the check prove?"),
        both(
            "Que rien n’a été retiré ni changé parmi ce qui a été enregistré. Elle ne peut pas montrer un accès que personne n’a enregistré.",
            "That nothing was taken out or changed among what was recorded. It can’t show an access that nobody recorded.",
        ),
    ),
    (
        both("Quelqu’un regarde par-dessus mon épaule. Que faire ?", "Somebody looks over my shoulder. What can I do?"),
        both(
            "« Quitter vite », en haut de chaque page, ferme la session et ouvre un autre site.",
            "“Exit quickly”, at the top of each page, closes the session and opens another site.",
        ),
    ),
];

pub const ACCESSIBILITY: Both = both("Accessibilité", "Accessibility");
pub const DECLARED: Both = both(
    "Ce site est partiellement conforme au RGAA 4.1. Aucun audit indépendant n’a encore eu lieu.",
    "This site is partially compliant with RGAA 4.1. No independent audit has taken place yet.",
);
pub const CHECKED: Both = both(
    "Des outils ont contrôlé chaque page : axe-core, html-validate et le validateur du W3C. Des programmes ont aussi suivi le clavier, et mesuré le zoom et les contrastes.",
    "Tools have checked each page: axe-core, html-validate and the validator of the W3C. Programs have also followed the keyboard, and measured zoom and contrasts.",
);
pub const NOT_CHECKED: Both = both(
    "Aucune personne n’a encore essayé ce site avec un lecteur d’écran.",
    "Nobody has tried this site with a screen reader yet.",
);
pub const REPORT: Both = both(
    "Si une page vous arrête, dites-le-nous. Vous pouvez aussi écrire au Défenseur des droits.",
    "If a page stops you, tell us. You can also write to the Défenseur des droits.",
);
