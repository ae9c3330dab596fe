//! Texts of « Mes proches ».

use super::{Both, both};

pub const LEAD: Both = both(
    "Vous pouvez regarder les pages des personnes que vous représentez.",
    "You can look at the pages of people whom you represent.",
);
pub const PEOPLE: Both = both("Les pages que vous pouvez regarder", "Pages that you can look at");
pub const MYSELF: Both = both("Vous-même", "Yourself");
pub const CURRENT: Both = both("Affichées maintenant", "Shown now");
pub const LOOK: Both = both("Regarder les pages de", "Look at the pages of");
pub const LOOK_MYSELF: Both = both("Revenir à mes pages", "Back to my pages");
pub const ON_RECORD: Both = both(
    "Votre lecture est inscrite dans leur trace, à votre nom.",
    "Your reading is recorded in their trace, under your name.",
);
pub const REPRESENTATIVES: Both = both("Les personnes qui vous représentent", "People who represent you");
pub const NO_REPRESENTATIVE: Both = both("Personne ne vous représente.", "Nobody represents you.");
pub const NOBODY: Both = both("Vous ne représentez personne.", "You represent nobody.");
pub const POWERS: Both = both("Peut", "May");
pub const UNTIL: Both = both("Jusqu’au", "Until");
pub const NO_END: Both = both("Sans date de fin", "Without an end date");
pub const LINE: Both = both("Voir la ligne", "See the line");
pub const MINOR_HEAD: Both = both("Si vous avez moins de 18 ans", "If you are under 18");
pub const MINOR: [Both; 3] = [
    both(
        "Vous pouvez demander qu’un soin reste caché à vos parents.",
        "You can ask that a treatment be kept from your parents.",
    ),
    both(
        "Alors vos parents n’en voient rien, ni ligne, ni nombre.",
        "Then your parents see nothing of it, neither a line nor a count.",
    ),
    both("Ils ne voient pas non plus vos visites sur ce site.", "They don’t see your visits to this site either."),
];
pub const OWN_ID: Both = both("Votre identifiant", "Your identifier");
pub const OWN_ID_HELP: Both = both(
    "Donnez-le à qui veut vous nommer personne de confiance.",
    "Give it to somebody who wants to name you as their trusted person.",
);
