//! Texts of « Emporter et vérifier », of the printed trace, of the verification, and of « Qui alimente ma trace ? ».

use jiff::civil::Date;
use sillage_words::Lang;

use super::{Both, Phrase, both, dates};
use crate::view::take::{FileKind, SourceState};

pub const LEAD: Both = both(
    "Votre trace est à vous. Gardez-en une copie, et vérifiez-la sans nous.",
    "Your trace is yours. Keep a copy of it, and check it without us.",
);
pub const CHECK_HEAD: Both = both("Vérifier que rien ne manque", "Check that nothing is missing");
pub const CHECK_HELP: Both = both(
    "Votre appareil fait le calcul lui-même. Il dit si une ligne a été retirée ou changée.",
    "Your device does the sums itself. It says whether a line was taken out or changed.",
);
pub const CHECK: Both = both("Vérifier ma trace", "Check my trace");
pub const FILES_HEAD: Both = both("Télécharger", "Download");
pub const KIOSK: Both = both(
    "Sur cet appareil partagé, un fichier téléchargé resterait. Imprimez, ou téléchargez chez vous.",
    "On this shared device a downloaded file would stay. Print, or download at home.",
);
pub const PRINT_HEAD: Both = both("Imprimer", "Print");
pub const PRINT_HELP: Both = both(
    "Le papier porte de quoi le vérifier : registre, taille, racine, nombre de lignes.",
    "The paper carries what is needed to check it: log, size, root, number of lines.",
);
pub const PRINT: Both = both("Ouvrir la page à imprimer", "Open the page for printing");
pub const POLICY_HEAD: Both = both("À qui vous faites confiance", "Those whom you trust");
pub const POLICY_HELP: Both = both(
    "Une vérification s’appuie sur une liste de signataires, la « politique ». Voici son empreinte. Comparez-la avec une autre source.",
    "A check rests on a list of signers, the “policy”. Here is its fingerprint. Compare it with another source.",
);
pub const POLICY: Both = both("Empreinte de la politique", "Fingerprint of the policy");
pub const POLICY_USED: Both = both("Empreinte de la politique :", "Fingerprint of the policy:");
pub const PUBLISHED: Both = both("Publiée aussi", "Also published");
pub const LINES: Both = both("Lignes", "Lines");

/// Name of a file, in the link.
pub const fn file(kind: FileKind) -> Both {
    match kind {
        FileKind::Bundle => both("Ma trace avec ses preuves", "My trace with its proofs"),
        FileKind::SecretBundle => both("Ma trace secrète avec ses preuves", "My secret trace with its proofs"),
        FileKind::Fhir => both("Ma trace pour un logiciel de santé", "My trace for health software"),
        FileKind::Csv => both("Ma trace en tableau", "My trace as a table"),
    }
}

/// Its format.
pub const fn format(kind: FileKind) -> Both {
    match kind {
        FileKind::Bundle | FileKind::SecretBundle => both("fichier .sillage-trace", ".sillage-trace file"),
        FileKind::Fhir => both("fichier FHIR R4, JSON", "FHIR R4 file, JSON"),
        FileKind::Csv => both("fichier CSV, pour un tableur", "CSV file, for a spreadsheet"),
    }
}

/// Its use.
pub const fn file_help(kind: FileKind) -> Both {
    match kind {
        FileKind::Bundle => both(
            "Le seul fichier que l’on peut vérifier, même hors ligne et dans dix ans.",
            "The only file that can be checked, even offline and in ten years.",
        ),
        FileKind::SecretBundle => both(
            "Les lignes que vos représentants ne lisent pas, et vos propres connexions.",
            "The lines that your representatives don't read, and your own logins.",
        ),
        FileKind::Fhir => both("Un format que d’autres logiciels lisent.", "A format that other software reads."),
        FileKind::Csv => both("Pour trier et compter vous-même.", "To sort and count yourself."),
    }
}

/// `fichier CSV, pour un tableur, 48 ko`.
pub fn file_words(kind: FileKind, bytes: Option<u64>, lang: Lang) -> Phrase {
    let format = format(kind).of(lang);
    Phrase::from(match bytes {
        Some(n) => format!("{}, {}", format.as_str(), dates::bytes(n, lang).as_str()),
        None => format.as_str().to_owned(),
    })
}

pub const PRINT_TITLE: Both = both("Ma trace sur papier", "My trace on paper");
pub const PRINT_HOW: Both = both(
    "Imprimez avec votre navigateur : Ctrl + P, ou « Partager » puis « Imprimer » sur un téléphone.",
    "Print with your browser: Ctrl + P, or “Share” then “Print” on a phone.",
);
pub const PRINT_OF: Both = both("Trace de", "Trace of");
pub const PRINTED: Both = both("Imprimée le", "Printed on");
pub const PAPER_CHECK: Both = both("Vérifier ce papier", "Check this paper");
pub const PAPER_STEPS: [Both; 3] = [
    both("Demandez le fichier .sillage-trace de cette trace.", "Ask for the .sillage-trace file of this trace."),
    both(
        "Vérifiez-le avec « sillage verify », ou sur la page « Vérifier ».",
        "Check it with `sillage verify`, or on the page “Check”.",
    ),
    both(
        "Comparez registre, taille, racine et nombre de lignes avec ce papier.",
        "Compare log, size, root and number of lines with this paper.",
    ),
];

pub const VERIFY: Both = both("Vérifier ma trace", "Check my trace");
pub const VERIFY_FILE: Both = both("Vérifier un fichier", "Check a file");
pub const VERIFY_LEAD: Both = both(
    "Votre appareil vérifie que rien n’a été retiré ni changé. Aucune donnée ne part d’ici.",
    "Your device checks that nothing was taken out or changed. No data leave it.",
);
pub const VERIFY_START: Both = both("Lancer la vérification", "Start the check");
pub const VERIFY_SCRIPT: Both = both(
    "Cette page a besoin de JavaScript, c’est la seule. Sans JavaScript, téléchargez le fichier et vérifiez-le avec « sillage verify ».",
    "This page needs JavaScript; it is the only one. Without JavaScript, download the file and check it with `sillage verify`.",
);
pub const VERIFY_OTHER: Both = both("Vérifier un fichier que j’ai déjà", "Check a file that I have already");
pub const VERIFY_FILES: Both = both("Fichier à vérifier", "File to check");
pub const VERIFY_FILES_HINT: Both = both(
    "Un fichier .sillage-trace, .sillage-receipt ou .tlog-proof, 256 Mo au plus.",
    "A .sillage-trace, .sillage-receipt or .tlog-proof file, 256 MB at most.",
);
pub const VERIFY_POLICY: Both = both("Ma propre politique (facultatif)", "My own policy (optional)");
pub const VERIFY_POLICY_HINT: Both = both(
    "Un fichier policy.txt, reçu d’une personne de confiance. Sans lui, celui de ce site sert.",
    "A policy.txt file, from somebody you trust. Without it, that of this site is used.",
);
pub const VERIFY_FILE_START: Both = both("Vérifier ce fichier", "Check this file");
pub const WORKING: Both = both("Vérification en cours…", "Checking…");
pub const VERDICT_WHOLE: Both = both(
    "Rien n’a été retiré ni changé parmi ce qui a été enregistré.",
    "Nothing was taken out or changed among what was recorded.",
);
pub const VERDICT_PART: Both = both(
    "Ce fichier est authentique. Il ne dit pas que rien ne manque.",
    "This file is authentic. It doesn’t say that nothing is missing.",
);
pub const VERDICT_WRONG: Both = both(
    "La vérification a échoué. Ne vous fiez pas à ce fichier, et gardez-le comme preuve.",
    "The check failed. Don’t rely on this file, and keep it as evidence.",
);
pub const VERDICT_AWAY: Both = both(
    "Le fichier n’a pas pu être chargé. Rien n’a été vérifié. Réessayez plus tard.",
    "The file couldn’t be loaded. Nothing was checked. Try again later.",
);
pub const VERDICT_NO_FILE: Both = both("Choisissez d’abord un fichier à vérifier.", "Choose a file to check first.");
pub const LIMIT: Both = both(
    "Un accès que personne n’a enregistré ne peut pas apparaître.",
    "An access that nobody recorded can’t appear.",
);
pub const STATEMENTS: Both = both("Le détail de ce qui est prouvé", "Details of the proof");
pub const WRONG_PART: Both = both("Ce qui ne tient pas", "The part that doesn’t hold");
/// Parts of a file as the verifier names them, and as people do.
pub const PARTS: [(&str, Both); 17] = [
    ("policy", both("la politique", "the policy")),
    (
        "file",
        both(
            "le fichier entier : vide, trop long, ou d’une autre sorte",
            "the whole file: empty, too long, or of another sort",
        ),
    ),
    ("validity", both("la durée : le reçu ne vaut plus à ce moment", "the time: the receipt isn’t valid any more")),
    ("header", both("l’en-tête", "the header")),
    ("checkpoint", both("le point de contrôle", "the checkpoint")),
    ("genesis", both("la genèse", "the genesis")),
    ("index-commit", both("l’index des patients", "the patient index")),
    ("identity", both("l’identité", "the identity")),
    ("bucket", both("la place dans l’index", "the place in the index")),
    ("range", both("l’étendue", "the range")),
    ("authors", both("les services", "the services")),
    ("batches", both("les lots signés", "the signed batches")),
    ("entries", both("les inscriptions", "the entries")),
    ("since", both("la suite", "the continuation")),
    ("receipt", both("le reçu", "the receipt")),
    ("extra", both("la preuve jointe", "the attached proof")),
    ("proof", both("la preuve", "the proof")),
];
pub const SELF_TRUST: Both = both(
    "Ce site vous donne le fichier, la politique et le vérificateur. Pour ne pas dépendre de lui, gardez une copie du vérificateur. Prenez la politique ailleurs. Les deux marchent hors ligne.",
    "This site gives you file, policy and verifier. So as not to depend on it, keep a copy of the verifier. Take the policy from elsewhere. Both work offline.",
);
pub const VERIFIER_FILE: Both = both("Télécharger le vérificateur (verify.js)", "Download the verifier (verify.js)");
pub const POLICY_FILE: Both = both("Télécharger la politique (policy.txt)", "Download the policy (policy.txt)");

pub const SOURCES_LEAD: Both = both(
    "Votre trace contient ce que ces services enregistrent, et rien d’autre.",
    "Your trace holds what these services record, and nothing else.",
);
pub const SOURCES_DAYS: Both = both(
    "Le dernier jour est celui du service, pour tous ses patients. Il ne dit rien de vous.",
    "The last day is the service’s, for all its patients. It says nothing about you.",
);
pub const SOURCES_NO_LIST: Both = both(
    "Aucune liste officielle n’est publiée. On ne peut donc pas dire quels services manquent.",
    "No official list is published. So nobody can say which services are missing.",
);
pub const SOURCES_LISTED: Both = both("Liste officielle signée le", "Official list signed on");
pub const SOURCES_NONE: Both =
    both("Aucun service n’enregistre ici pour le moment.", "No service records here for now.");
pub const SOURCES_AS_OF: Both = both("État au", "As of");
pub const SOURCE: Both = both("Service", "Service");
pub const LAST_DAY: Both = both("Dernier jour enregistré", "Last day recorded");
pub const STATE: Both = both("État", "State");
pub const GAPS: Both = both("Suite des envois", "Sequence of deliveries");
pub const GAPLESS: Both = both("Sans trou", "Without a gap");
pub const GAPS_FOUND: Both = both("Il en manque", "Some are missing");
pub const GAPS_UNKNOWN: Both = both("Non connu", "Not known");
pub const NEVER: Both = both("Jamais", "Never");

/// State of a source.
pub const fn source(state: SourceState) -> Both {
    match state {
        SourceState::Recording => both("Enregistre", "Records"),
        SourceState::Silent => both("Silencieux", "Silent"),
        SourceState::Never => both("Manque", "Missing"),
        SourceState::Unlisted => both("Hors liste", "Not listed"),
    }
}

/// Its explanation.
pub const fn source_help(state: SourceState) -> Both {
    match state {
        SourceState::Recording => {
            both("Le service envoie ses accès comme prévu.", "The service sends its accesses as planned.")
        }
        SourceState::Silent => both(
            "Le service n’a plus rien envoyé depuis trop longtemps. Des accès peuvent manquer.",
            "The service has sent nothing for too long. Accesses may be missing.",
        ),
        SourceState::Never => both(
            "Le service devrait enregistrer ici, et ne l’a jamais fait. Ses accès manquent.",
            "The service should record here, and never has. Its accesses are missing.",
        ),
        SourceState::Unlisted => both(
            "Le service enregistre sans être sur la liste officielle.",
            "The service records without being on the official list.",
        ),
    }
}

/// A day, or never.
pub fn last_day(day: Option<Date>, lang: Lang) -> Phrase {
    day.map_or_else(|| NEVER.of(lang), |day| dates::day(day, lang))
}
