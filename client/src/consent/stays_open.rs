//! The access that a limit leaves open, told before it is signed: a patient who blocks, masks, closes or opposes learns
//! who still sees the documents, and what an emergency opens. One place for every door: the command line says it, and
//! so may a portal.
//!
//! The sentences follow the steps of `docs/consent.md`; a test asks the decision procedure the same and compares.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sillage_rules::consent::state::Space;
use sillage_rules::consent::{ActorName, Case, DepositedItem, Directive, Effect, Event};
use sillage_rules::ident::resource::{Resource, may_be_one};

use super::effective::professions;
use super::known::{Known, Side};
use sillage_words::decided::case as case_words;
use sillage_words::phrase::list;
use sillage_words::sentence::clean;
use sillage_words::{Lang, words};

/// Structures that one sentence names; the others are counted.
const NAMED_MAX: usize = 4;

/// Of whom a sentence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The patient, and who represents them.
    PatientSide,
    /// The depositor of the documents, and, but for a block, their structure.
    Depositor,
    /// Others of the structure that deposited.
    Structure,
    /// The attending doctor.
    Attending,
    /// The professional who breaks the glass.
    Emergency,
    /// Everybody else.
    Others,
}

impl Whom {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PatientSide => "PATIENT_SIDE",
            Self::Depositor => "DEPOSITOR",
            Self::Structure => "STRUCTURE",
            Self::Attending => "ATTENDING",
            Self::Emergency => "EMERGENCY",
            Self::Others => "OTHERS",
        }
    }
}

/// One sentence, in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaysOpen {
    /// Of whom it is.
    pub whom: Whom,
    /// True if they see on; false: it says that not even they do.
    pub open: bool,
    /// How many documents that are known today it is about; none where that isn't known.
    pub documents: Option<usize>,
    /// In French.
    pub fr: String,
    /// In English.
    pub en: String,
}

impl StaysOpen {
    fn new(whom: Whom, open: bool, fr: impl Into<String>, en: impl Into<String>) -> Self {
        Self { whom, open, documents: None, fr: fr.into(), en: en.into() }
    }

    /// The sentence.
    pub fn text(&self, lang: Lang) -> &str {
        words::pick(lang, &self.fr, &self.en)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "whom": self.whom.as_str(), "open": self.open, "documents": self.documents, "fr": self.fr, "en": self.en,
        })
    }
}

/// The knowledge of the patient when it is said; without it the sentences hold for anybody, and count nothing.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The rules that hold for the patient.
    pub known: &'a Known,
    /// Where the change is recorded.
    pub side: &'a Side,
}

/// The access that stays open once this change is on record. `proven`: its record carries the patient's side's login. Empty where the
/// change takes nothing away.
pub fn stays_open(event: &Event, proven: bool, about: Option<About<'_>>) -> Vec<StaysOpen> {
    match event {
        Event::Blocked { professional } => blocked(professional, about),
        Event::Masked { items } => masked(items, about),
        Event::SpaceClosed | Event::SpaceOpposed => closed(event, proven, about),
        Event::EmergencyOpposed { cases } => emergency_opposed(cases, about),
        Event::Directive(directive) if directive.provision.effect == Effect::Deny => denied(directive, about),
        _ => Vec::new(),
    }
}

fn deposits<'a>(about: &About<'a>) -> impl Iterator<Item = &'a DepositedItem> + use<'a> {
    about.known.sides().flat_map(|(side, _)| side.state.deposits())
}

/// ` (2 documents aujourd'hui)`; nothing where it isn't known.
fn counted(count: Option<usize>) -> [String; 2] {
    match count {
        None => [String::new(), String::new()],
        Some(1) => [" (un document aujourd'hui)".to_owned(), " (one document today)".to_owned()],
        Some(count) => [format!(" ({count} documents aujourd'hui)"), format!(" ({count} documents today)")],
    }
}

fn blocked(professional: &ActorName, about: Option<About<'_>>) -> Vec<StaysOpen> {
    let own = about.map(|about| deposits(&about).filter(|item| item.depositor.as_ref() == Some(professional)).count());
    let structure = about.and_then(|about| professions(about.known).remove(professional)?.1);
    let of_structure = about.zip(structure.as_ref()).map(|(about, structure)| {
        let others = |item: &&DepositedItem| {
            item.organisation.as_ref() == Some(structure) && item.depositor.as_ref() != Some(professional)
        };
        deposits(&about).filter(others).count()
    });
    let [fr, en] = counted(own);
    let mut depositor = StaysOpen::new(
        Whom::Depositor,
        true,
        format!("Cette personne voit encore ce qu'elle a déposé elle-même{fr}."),
        format!("This person still sees what they deposited themselves{en}."),
    );
    depositor.documents = own;
    let named = structure.map(|structure| format!(" {}", clean(&structure))).unwrap_or_default();
    let [fr, en] = counted(of_structure);
    let mut colleagues = StaysOpen::new(
        Whom::Structure,
        true,
        format!(
            "Le blocage vaut pour cette personne seule : ses collègues de la structure{named} voient encore ce que la structure a déposé{fr}."
        ),
        format!(
            "The block is of this person alone: their colleagues of the organisation{named} still see what the organisation deposited{en}."
        ),
    );
    colleagues.documents = of_structure;
    let mut out = vec![depositor, colleagues];
    out.push(StaysOpen::new(
        Whom::Others,
        false,
        "En urgence non plus, cette personne ne voit rien d'autre : le bris de glace ne lève pas un blocage.",
        "In an emergency neither does this person see anything else: breaking the glass lifts no block.",
    ));
    out.extend(emergency(
        about,
        "tout le dossier, hors documents masqués",
        "the whole record but for masked documents",
    ));
    out
}

fn masked(items: &[String], about: Option<About<'_>>) -> Vec<StaysOpen> {
    let mut depositor = match about {
        None => StaysOpen::new(
            Whom::Depositor,
            true,
            "Qui a déposé le document, et sa structure (l'hôpital, le cabinet), le voient encore.",
            "Who deposited the document, and their organisation (the hospital, the practice), still see it.",
        ),
        Some(about) => of_depositors(items, &about),
    };
    depositor.whom = Whom::Depositor;
    let mut out = vec![patient_side(), depositor];
    out.extend(attending(about));
    let lifted = about.is_some_and(|about| about.known.policy.emergency_lifts_mask);
    out.push(match (about.is_some(), lifted) {
        (true, true) => StaysOpen::new(
            Whom::Emergency,
            true,
            "En urgence, le bris de glace ouvre aussi les documents masqués, selon la politique en vigueur.",
            "In an emergency, breaking the glass opens masked documents too, by the policy in force.",
        ),
        (true, false) => StaysOpen::new(
            Whom::Emergency,
            false,
            "En urgence, le bris de glace n'ouvre pas un document masqué : qui soigne le patient ne le verra pas.",
            "In an emergency, breaking the glass doesn't open a masked document: whoever treats the patient won't see it.",
        ),
        (false, _) => StaysOpen::new(
            Whom::Emergency,
            false,
            "En urgence, le bris de glace n'ouvre pas un document masqué, sauf si la politique en vigueur le dit (« --dry-run » le montre).",
            "In an emergency, breaking the glass doesn't open a masked document unless the policy in force says so (`--dry-run` shows it).",
        ),
    });
    out.extend(on_every_server(items));
    out
}

/// A limit on a name that says no server: it holds for the document of that name on each of them.
fn on_every_server(items: &[String]) -> Option<StaysOpen> {
    let is_short = |item: &&String| Resource::of(item).is_some_and(|resource| resource.server().is_empty());
    let name = clean(items.iter().find(is_short)?);
    Some(StaysOpen::new(
        Whom::Others,
        false,
        format!("Un nom sans serveur ({name}) vaut pour le document de ce nom sur chaque serveur."),
        format!("A name without a server ({name}) holds for the document of that name on every server."),
    ))
}

/// Depositors of masked documents, who see them on, by structures.
fn of_depositors(items: &[String], about: &About<'_>) -> StaysOpen {
    let mut structures: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let is_masked = |item: &&DepositedItem| items.iter().any(|masked| may_be_one(masked, &item.id));
    for item in deposits(about).filter(is_masked) {
        if seen.insert(&item.id)
            && let Some(structure) = item.organisation.as_deref()
        {
            *structures.entry(structure).or_default() += 1;
        }
    }
    let named = |lang| {
        let mut names: Vec<String> =
            structures.iter().take(NAMED_MAX).map(|(name, count)| format!("{} ({count})", clean(name))).collect();
        let rest = structures.len().saturating_sub(NAMED_MAX);
        if rest > 0 {
            names.push(match lang {
                Lang::Fr => format!("{rest} autres"),
                Lang::En => format!("{rest} others"),
            });
        }
        list(&names, lang)
    };
    let count = seen.len();
    let [fr, en] = counted(Some(count));
    let mut out = match (count, structures.is_empty()) {
        (0, _) => StaysOpen::new(
            Whom::Depositor,
            true,
            "Le registre ne connaît pas encore ces documents ; qui les déposera, et sa structure, les verront.",
            "The ledger doesn't know these documents yet; whoever deposits them, and their organisation, will see them.",
        ),
        (_, true) => StaysOpen::new(
            Whom::Depositor,
            true,
            format!("Qui a déposé le document le voit encore{fr}."),
            format!("Who deposited the document still sees it{en}."),
        ),
        (_, false) => StaysOpen::new(
            Whom::Depositor,
            true,
            format!("La structure qui a déposé le document le voit encore{fr} : {}.", named(Lang::Fr)),
            format!("The organisation that deposited the document still sees it{en}: {}.", named(Lang::En)),
        ),
    };
    out.documents = Some(count);
    out
}

fn closed(event: &Event, proven: bool, about: Option<About<'_>>) -> Vec<StaysOpen> {
    let mut others = match event {
        Event::SpaceClosed => StaysOpen::new(
            Whom::Others,
            false,
            "Plus aucun professionnel ne voit rien par le registre, pas même ce qu'il a déposé ; sa structure garde ses propres dossiers. Rien n'est effacé.",
            "No professional sees anything through the ledger any more, not even what they deposited; their organisation keeps its own files. Nothing is erased.",
        ),
        _ => StaysOpen::new(
            Whom::Others,
            false,
            "Plus aucun professionnel ne voit ni ne dépose rien par le registre ; sa structure garde ses propres dossiers.",
            "No professional sees or deposits anything through the ledger any more; their organisation keeps its own files.",
        ),
    };
    others.documents = about.map(|about| deposits(&about).count());
    let mut out = vec![patient_side(), others];
    // A claim after a proof takes nothing from it.
    let shut = proven || about.is_some_and(|about| about.side.state.is_shut_for_emergencies());
    match shut {
        true => out.push(StaysOpen::new(
            Whom::Emergency,
            false,
            "En urgence non plus, personne ne peut ouvrir l'espace par un bris de glace, même si la vie du patient en dépend.",
            "In an emergency neither can anybody open the space by breaking the glass, even if the patient's life depends on it.",
        )),
        false => {
            out.extend(emergency(about, "l'espace, hors documents masqués", "the space but for masked documents"));
            out.push(StaysOpen::new(
                Whom::Emergency,
                true,
                "Pour l'empêcher aussi : se connecter pour clore l'espace, ou s'opposer aux accès d'urgence (« oppose emergency »).",
                "To bar that too: log in to close the space, or oppose emergency access (`oppose emergency`).",
            ));
        }
    }
    out
}

fn emergency_opposed(cases: &[Case], about: Option<About<'_>>) -> Vec<StaysOpen> {
    let mut out = vec![StaysOpen::new(
        Whom::Emergency,
        false,
        format!(
            "Personne ne peut ouvrir le dossier par un bris de glace {}, même si la vie du patient en dépend.",
            spoken(cases.iter().copied(), Lang::Fr)
        ),
        format!(
            "Nobody can open the record by breaking the glass {}, even if the patient's life depends on it.",
            spoken(cases.iter().copied(), Lang::En)
        ),
    )];
    let opposed = opposed(about);
    let left: Vec<Case> =
        Case::ALL.iter().copied().filter(|case| !cases.contains(case) && !opposed.contains(case)).collect();
    if !left.is_empty() {
        out.push(StaysOpen::new(
            Whom::Emergency,
            true,
            format!("Le bris de glace reste possible {}.", spoken(left.iter().copied(), Lang::Fr)),
            format!("Breaking the glass stays possible {}.", spoken(left, Lang::En)),
        ));
    }
    out.push(StaysOpen::new(
        Whom::Others,
        true,
        "Hors urgence rien ne change : le médecin traitant, l'équipe de soins et qui a déposé un document voient comme avant.",
        "Beside emergencies nothing changes: the attending doctor, the care team and who deposited a document see as before.",
    ));
    out
}

fn denied(directive: &Directive, about: Option<About<'_>>) -> Vec<StaysOpen> {
    let mut out = vec![StaysOpen::new(
        Whom::Depositor,
        true,
        "Qui a déposé un document, et sa structure, le voient encore malgré l'interdiction.",
        "Who deposited a document, and their organisation, still see it in spite of the denial.",
    )];
    out.extend(attending(about));
    out.extend(emergency(about, "ce qui est interdit ici aussi", "what is denied here too"));
    out.extend(directive.provision.items.as_deref().and_then(on_every_server));
    out
}

fn patient_side() -> StaysOpen {
    StaysOpen::new(
        Whom::PatientSide,
        true,
        "Le patient, et qui le représente, voient tout comme avant.",
        "The patient, and who represents them, see everything as before.",
    )
}

fn attending(about: Option<About<'_>>) -> Option<StaysOpen> {
    let sees = match about {
        None => true,
        Some(About { known, .. }) => {
            let declared = known.sides().any(|(side, _)| side.state.attending().is_some());
            known.policy.attending_doctor_sees_all && declared
        }
    };
    let (fr, en) = match about {
        Some(_) => {
            ("Le médecin traitant le voit encore, pour des soins.", "The attending doctor still sees it, for care.")
        }
        None => (
            "Le médecin traitant, s'il est déclaré, le voit encore, pour des soins.",
            "The attending doctor, where one is declared, still sees it, for care.",
        ),
    };
    sees.then(|| StaysOpen::new(Whom::Attending, true, fr, en))
}

fn opposed(about: Option<About<'_>>) -> BTreeSet<Case> {
    let sides = about.into_iter().flat_map(|about| about.known.sides());
    sides.flat_map(|(side, _)| side.state.opposed_cases().map(|(case, _)| case)).collect()
}

/// The documents that breaking the glass opens all the same, in the cases that the patient didn't oppose.
fn emergency(about: Option<About<'_>>, fr: &str, en: &str) -> Option<StaysOpen> {
    let shut = about.is_some_and(|about| {
        let state = &about.known.open.state;
        state.space().0 != Space::Open && state.is_shut_for_emergencies()
    });
    let opposed = opposed(about);
    let left: Vec<Case> = Case::ALL.iter().copied().filter(|case| !opposed.contains(case)).collect();
    if shut || left.is_empty() {
        return None;
    }
    let (cases_fr, cases_en) = (spoken(left.iter().copied(), Lang::Fr), spoken(left, Lang::En));
    Some(StaysOpen::new(
        Whom::Emergency,
        true,
        format!(
            "En urgence ({cases_fr}), un professionnel qui y a droit ouvre encore {fr}, par un bris de glace : c'est inscrit, notifié au patient, et contrôlé."
        ),
        format!(
            "In an emergency ({cases_en}), a professional who is entitled to still opens {en}, by breaking the glass: it is on record, the patient is notified, and it is reviewed."
        ),
    ))
}

fn spoken(cases: impl IntoIterator<Item = Case>, lang: Lang) -> String {
    let cases: Vec<String> = cases.into_iter().map(|case| case_words(case.as_str(), lang)).collect();
    list(&cases, lang)
}

#[cfg(test)]
#[path = "stays_open_tests.rs"]
mod tests;
