//! Texts of « Qui peut accéder ? ».

use super::{Both, both};

pub const LEAD: Both = both(
    "Ces personnes peuvent ouvrir vos documents. Chaque ligne dit pourquoi.",
    "These people can open your documents. Each line says why.",
);
pub const AS_OF: Both = both("La réponse vaut pour le", "The answer holds for");
pub const OTHER_DAY: Both = both("Voir un autre jour", "See another day");
pub const DAY: Both = both("Jour", "Day");
pub const DAY_HINT: Both = both("La réponse vaut pour la fin de ce jour.", "The answer holds for the end of that day.");
pub const SHOW: Both = both("Afficher ce jour", "Show that day");
pub const NOW: Both = both("Revenir à aujourd’hui", "Back to today");
pub const MAY: Both = both("Peuvent accéder", "May have access");
pub const MAY_NOT: Both = both("Ne peuvent pas accéder", "May not have access");
pub const NOBODY: Both = both("Personne n’est autorisé en dehors de vous.", "Nobody but you is permitted.");
pub const LIMITS: Both = both("Les limites de cette réponse", "Limits of this answer");
pub const CHANGE: Both = both("Changer qui peut accéder", "Change who may have access");
