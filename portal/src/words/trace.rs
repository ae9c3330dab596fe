//! Texts of « Qui a accédé ? » and of one line.

use jiff::civil::{Date, Time};
use sillage_words::Lang;

use super::{Both, Phrase, both, counted, dates};

pub const LEAD: Both = both(
    "Chaque accès à vos données laisse une ligne ici. Le plus récent est en haut.",
    "Each access to your data leaves a line here. The newest comes first.",
);
pub const LINE: (Both, Both) = (both("ligne", "line"), both("lignes", "lines"));
pub const AUTOMATIC: (Both, Both) =
    (both("accès automatique", "automatic access"), both("accès automatiques", "automatic accesses"));
pub const COLON: Both = both(" : ", ": ");
pub const AUTOMATIC_HELP: Both = both(
    "Un programme a agi seul. Personne n’a regardé à ce moment.",
    "A program acted by itself. Nobody was looking at that moment.",
);
pub const NOT_CHECKED: Both = both(
    "Ces lignes n’ont pas pu être comparées au registre. Revenez plus tard.",
    "These lines couldn’t be held against the log. Come back later.",
);
pub const CHECK_WHOLE: Both = both("Vérifier que rien ne manque", "Check that nothing is missing");
pub const BADGES_HEAD: Both = both("Que veulent dire ces étiquettes ?", "What do these labels mean?");

pub const FILTER: Both = both("Filtrer les lignes", "Filter the lines");
pub const PERIOD: Both = both("Période", "Period");
pub const FROM: Both = both("Du", "From");
pub const TO: Both = both("Au", "To");
pub const WHO: Both = both("Personne", "Person");
pub const STRUCTURE: Both =
    both("Structure (hôpital, cabinet, laboratoire)", "Structure (hospital, practice, laboratory)");
pub const KIND: Both = both("Type d’événement", "Kind of event");
pub const EVERYBODY: Both = both("Tout le monde", "Everybody");
pub const EVERYWHERE: Both = both("Toutes", "All");
pub const EVERYTHING: Both = both("Tous", "All");
pub const ONLY: Both = both("Seulement", "Only");
pub const ONLY_EMERGENCIES: Both = both("les accès en urgence", "emergency accesses");
pub const ONLY_UNJUSTIFIED: Both = both("les accès sans justification", "accesses without a justification");
pub const APPLY: Both = both("Appliquer les filtres", "Apply the filters");
pub const SHOW_ALL: Both = both("Tout afficher", "Show all");

pub const EMPTY: Both = both("Rien n’est encore inscrit ici.", "Nothing is recorded here yet.");
pub const EMPTY_HELP: Both = both(
    "Dès qu’un service accède à vos données, une ligne apparaît. La page « Qui alimente ma trace ? » dit quels services enregistrent.",
    "As soon as a service accesses your data, a line appears. The page “Who records into my trace?” says which services record.",
);
pub const EMPTY_FILTERED: Both = both("Aucune ligne ne correspond à ces filtres.", "No line matches these filters.");
pub const OLDER: Both = both("Lignes plus anciennes", "Older lines");
pub const NEWER: Both = both("Lignes plus récentes", "Newer lines");
pub const DEPOSITED_BY: Both = both("Déposé par", "Deposited by");
pub const HAPPENED: Both = both("Les faits datent du", "It happened on");
pub const SEE_LINE: Both = both("Pourquoi et preuve", "Why and proof");

/// The words that tell one link of a page from the other: `de la ligne n° 4711`.
pub fn of_line(index: u64, lang: Lang) -> Phrase {
    Phrase::from(match lang {
        Lang::Fr => format!(" de la ligne n° {index}"),
        Lang::En => format!(" of line no. {index}"),
    })
}

/// `Voir les 12 lignes`: the summary that opens the lines of an episode.
pub fn each_of(n: usize, lang: Lang) -> Phrase {
    let n = dates::number(u64::try_from(n).unwrap_or(u64::MAX), lang);
    Phrase::from(match lang {
        Lang::Fr => format!("Voir les {n} lignes"),
        Lang::En => format!("See the {n} lines"),
    })
}

/// The check of the lines of a page against the log.
pub fn checked(lines: usize, size: u64, as_of: &str, lang: Lang) -> Phrase {
    let (count, size) = (counted(u64::try_from(lines).unwrap_or(u64::MAX), LINE, lang), dates::number(size, lang));
    let count = count.as_str();
    Phrase::from(match (lang, lines) {
        (Lang::Fr, 1) => {
            format!(
                "Vérifié : cette ligne est bien dans le registre, qui compte {size} inscriptions. Contrôle du {as_of}."
            )
        }
        (Lang::Fr, _) => {
            format!(
                "Vérifié : ces {count} sont bien dans le registre, qui compte {size} inscriptions. Contrôle du {as_of}."
            )
        }
        (Lang::En, 1) => format!("Checked: this line stands in the log, which has {size} entries. Checked on {as_of}."),
        (Lang::En, _) => {
            format!("Checked: these {count} stand in the log, which has {size} entries. Checked on {as_of}.")
        }
    })
}

/// Title of the page of one line.
pub fn line_title(date: Date, time: Time, lang: Lang) -> Phrase {
    let (day, clock) = (dates::day(date, lang), dates::clock(time, lang));
    Phrase::from(match lang {
        Lang::Fr => format!("Ligne du {} à {}", day.as_str(), clock.as_str()),
        Lang::En => format!("Line of {} at {}", day.as_str(), clock.as_str()),
    })
}

pub const BACK: Both = both("Retour à « Qui a accédé ? »", "Back to “Who had access?”");
pub const FACTS: Both = both("Ce qui est enregistré", "Details on record");
pub const WHY: Both = both("Pourquoi pouvait-il ?", "Why could they?");
pub const WHY_UNKNOWN: Both = both(
    "Aucune raison valable n’est enregistrée. Vous pouvez demander pourquoi.",
    "No reason that holds is on record. You can ask why.",
);
pub const CLAIMED: Both = both(
    "Le service l’affirme ; le registre ne peut pas le vérifier :",
    "The service says so; the log can’t verify it:",
);
pub const STOPPERS: Both = both("Ce qui l’aurait empêché", "Steps that would have stopped it");
pub const ACTIONS: Both = both("Ce que vous pouvez faire", "Steps you can take");
pub const BLOCK: Both = both("Bloquer cette personne", "Block this person");
pub const BLOCK_HELP: Both =
    both("Elle ne verra plus que ce qu’elle a déposé elle-même.", "They will only see what they deposited themselves.");
pub const MASK: Both = both("Masquer ce document", "Hide this document");
pub const MASK_HELP: Both =
    both("La plupart des professionnels ne le verront plus.", "Most professionals won’t see it any more.");
pub const ASK: Both = both("Demander pourquoi", "Ask why");
pub const ASK_HELP: Both = both(
    "Le service doit répondre en un mois. La réponse paraît ici.",
    "The service must answer within a month. The answer appears here.",
);
pub const PROOF: Both = both("Preuve", "Proof");
pub const PROOF_HOLDS: Both = both(
    "Cette ligne est dans le registre. Personne ne peut l’en retirer sans que cela se voie.",
    "This line stands in the log. Nobody can take it out unseen.",
);
pub const PROOF_FAILS: Both = both(
    "La preuve de cette ligne ne tient pas. Ne vous y fiez pas, et gardez cette page.",
    "The proof of this line doesn’t hold. Don’t rely on it, and keep this page.",
);
pub const PROOF_DETAIL: Both = both("Détail technique de la preuve", "Technical detail of the proof");
pub const LOG: Both = both("Registre", "Log");
pub const SIZE: Both = both("Taille", "Size");
pub const ENTRY: (Both, Both) = (both("inscription", "entry"), both("inscriptions", "entries"));
pub const AS_OF: Both = both("Contrôle du", "Checked on");
pub const ROOT: Both = both("Racine", "Root");
pub const LEAF: Both = both("Empreinte de la ligne", "Fingerprint of the line");
pub const SIGNED_BY: Both = both("Signée par", "Signed by");
pub const COSIGNED_BY: Both = both("Cosignée par", "Cosigned by");
pub const PROOF_FILE: Both = both("Télécharger la preuve (.tlog-proof)", "Download the proof (.tlog-proof)");
pub const ASKED: Both = both("Vos questions sur cette ligne", "Your questions about this line");
pub const ALL_ASKED: Both = both("Voir toutes mes questions", "See all my questions");
