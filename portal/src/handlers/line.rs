//! One line: all that is on record of it, why it was possible, its proof, and what the patient can do about it.

use std::time::{Duration, Instant};

use sillage_client::ClientError;
use sillage_client::checks::{check_inclusion, checkpoint_over};
use sillage_client::clock::now_ms;
use sillage_client::parts::{Access, accesses};
use sillage_client::trace::TracedLine;
use sillage_proof::hash::{LeafIndex, leaf_hash};
use sillage_proof::tlog_proof::TlogProof;
use sillage_proto::v1;
use sillage_rules::doors::contest::is_contestable;
use sillage_rules::entry::Flags;
use sillage_rules::kind::{Group, Kind};
use sillage_words::names::item_name;
use sillage_words::time::spoken;
use sillage_words::words::{by_right, pick, purpose, role};
use sillage_words::{Event, Lang};

use super::lines::{in_paris, line};
use super::visit::Visit;
use super::{Answered, Ledger, Portal, Trouble};
use crate::login::kind_of;
use crate::pages;
use crate::view::trace::{Actions, LineView, Proof, Why};
use crate::view::{Fact, Text};
use crate::web::Asked;
use crate::web::answer;

/// Lines of one call: the ledger's own bound.
const PAGE: u32 = 500;
/// A longer search has to end.
const SEARCH_MAX: Duration = Duration::from_secs(8);

/// A line with those that belong to the same access.
pub struct Found {
    lines: Vec<TracedLine>,
    index: u64,
}

impl Found {
    /// The access that the line is part of.
    pub fn access(&self) -> Access<'_> {
        let all = accesses(&self.lines);
        let own =
            all.into_iter().find(|access| access.lines.iter().any(|line| line.line.entry.index.get() == self.index));
        own.expect("the line was found among these")
    }

    /// The line itself.
    pub fn line(&self) -> &TracedLine {
        let own = self.lines.iter().find(|line| line.line.entry.index.get() == self.index);
        own.expect("the line was found among these")
    }
}

impl Portal {
    /// The line of this number in the trace of this patient; whatever isn't a line of it doesn't exist.
    pub(super) async fn found(&self, ledger: &Ledger, visit: &Visit, index: &str) -> Result<Found, Trouble> {
        let index: u64 = index.parse().map_err(|_| Trouble::NotFound)?;
        let (deadline, mut cursor) = (Instant::now() + SEARCH_MAX, None::<String>);
        loop {
            let page =
                visit.patient.trace(&ledger.session, &v1::TraceRequest::default(), cursor.as_deref(), PAGE).await?;
            if page.lines.iter().any(|line| line.line.entry.index.get() == index) {
                return Ok(Found { lines: page.lines, index });
            }
            // Newest first: it would have come.
            let is_past = page.lines.last().is_none_or(|line| line.line.entry.index.get() < index);
            cursor = page.next_cursor;
            if is_past || cursor.is_none() {
                return Err(Trouble::NotFound);
            }
            if Instant::now() > deadline {
                return Err(ClientError::Unavailable("the trace is long".to_owned()).into());
            }
        }
    }

    pub(super) async fn line(&self, asked: &Asked, index: &str) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let found = self.found(ledger, &visit, index).await?;
        let access = found.access();
        let event = access.event();
        let contests = self.contests(ledger, &visit, lang).await?;
        let view = LineView {
            date: in_paris(event.recorded_at_ms).0,
            line: line(&event, &access.note(lang), lang),
            facts: facts(&event, lang),
            why: why(&event, lang),
            proof: proof(ledger, found.line(), lang).await?,
            actions: actions(&event, lang),
            contests: contests.into_iter().filter(|contest| contest.about == found.index).collect(),
            back: "/trace".to_owned(),
        };
        Ok(self.page(pages::line::line(&self.chrome(asked, Some(&visit)), &view)))
    }

    /// The proof of a line as a file of its own (c2sp.org/tlog-proof).
    pub(super) async fn proof_file(&self, asked: &Asked, index: &str) -> Answered {
        let visit = self.visit(asked).await?;
        let ledger = self.ledger().await?;
        let found = self.found(ledger, &visit, index).await?;
        let line = &found.line().line;
        let verified = checkpoint_over(&ledger.session, found.index).await?;
        let path = check_inclusion(&ledger.session, &verified.checkpoint, found.index, &line.bytes).await?;
        let proof = TlogProof::carrying(&line.bytes, LeafIndex(found.index), path, verified.note);
        let name = format!("ligne-{}.tlog-proof", found.index);
        Ok(answer::download("text/plain; charset=utf-8", &name, proof.to_string().into_bytes()))
    }
}

fn fact(lang: Lang, fr: &str, en: &str, value: impl Into<Text>) -> Option<Fact> {
    let value: Text = value.into();
    (!value.is_empty()).then(|| Fact { name: pick(lang, fr, en).into(), value })
}

fn facts(event: &Event, lang: Lang) -> Vec<Fact> {
    let record = event.record.clone().unwrap_or_default();
    let decided = event.decision.as_ref();
    let actor = record.actor.clone().or(decided.and_then(|decision| decision.actor.clone())).unwrap_or_default();
    let items: Vec<v1::Item> = match decided {
        Some(decision) => decision.outcomes.iter().map(|(item, ..)| item.clone()).collect(),
        None => record.items.clone(),
    };
    let documents: Vec<String> = items
        .iter()
        .map(|item| {
            let by = sillage_words::phrase::short_id(&item.depositor);
            let from = pick(lang, "déposé par", "deposited by");
            if item.depositor.is_empty() {
                item_name(item, lang)
            } else {
                format!("{} ({from} {by})", item_name(item, lang))
            }
        })
        .collect();
    let happened = record.occurred_at_ms.max(decided.map_or(0, |decision| decision.at_ms));
    let purpose_of = decided.map_or(record.purpose.as_str(), |decision| decision.purpose.as_str());
    [
        fact(lang, "Personne", "Person", actor.label.as_str()),
        fact(lang, "Profession", "Profession", role(&actor.role, lang)),
        fact(lang, "Structure", "Organisation", actor.organisation.as_str()),
        fact(lang, "Identifiant", "Identifier", actor.id.as_str()),
        fact(lang, "Documents", "Documents", documents.join(", ")),
        fact(lang, "Motif", "Purpose", purpose(purpose_of, lang)),
        fact(
            lang,
            "Date des faits",
            "When it happened",
            if happened > 0 { spoken(happened, lang) } else { String::new() },
        ),
        fact(lang, "Inscrit le", "Recorded on", spoken(event.recorded_at_ms, lang)),
        fact(lang, "Inscrit par", "Recorded by", event.author.as_str()),
        fact(lang, "Numéro", "Number", event.index.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Why it was possible, and what would have stopped it.
fn why(event: &Event, lang: Lang) -> Option<Why> {
    let mut out = Why::default();
    if let Some(decision) = &event.decision {
        let mut reasons: Vec<String> =
            decision.outcomes.iter().map(|(.., token)| sillage_words::decision::reason(token, lang)).collect();
        reasons.sort();
        reasons.dedup();
        out.reasons = reasons.into_iter().map(Text::from).collect();
        out.stoppers = stoppers(false, lang);
        return Some(out);
    }
    let record = event.record.as_ref().filter(|_| event.kind.is_access() || event.kind.is_movement())?;
    let right = by_right(record, event.flags, lang);
    match (right.is_empty(), event.flags.contains(Flags::CLAIMED)) {
        (true, _) => {
            let none = pick(lang, "Le service n'a donné aucune justification.", "The service gave no justification.");
            out.claimed.push(none.into());
        }
        (false, true) => out.claimed.push(right.into()),
        (false, false) => out.reasons.push(right.into()),
    }
    let is_emergency = record.basis.as_ref().is_some_and(|basis| basis.kind() == v1::BasisKind::Breakglass);
    out.stoppers = stoppers(is_emergency, lang);
    Some(out)
}

fn stoppers(is_emergency: bool, lang: Lang) -> Vec<Text> {
    let block = pick(
        lang,
        "Si vous bloquez cette personne, le registre lui refuse vos documents à l'avenir.",
        "If you block this person, the log refuses them your documents from then on.",
    );
    let mask = pick(
        lang,
        "Si vous masquez un document, le registre le refuse à tous sauf à qui l'a déposé.",
        "If you hide a document, the log refuses it to everybody but who deposited it.",
    );
    let emergency = pick(
        lang,
        "Si vous vous opposez aux accès d'urgence, le registre les refuse dans les cas que vous choisissez.",
        "If you oppose emergency accesses, the log refuses them in the cases that you choose.",
    );
    if is_emergency { vec![emergency.into()] } else { vec![block.into(), mask.into()] }
}

async fn proof(ledger: &Ledger, traced: &TracedLine, lang: Lang) -> Result<Proof, ClientError> {
    let line = &traced.line;
    let index = line.entry.index.get();
    let verified = checkpoint_over(&ledger.session, index).await?;
    let checkpoint = &verified.checkpoint;
    let holds = match check_inclusion(&ledger.session, checkpoint, index, &line.bytes).await {
        Ok(_) => true,
        Err(ClientError::Check(_)) => {
            tracing::error!(error = kind_of(&ClientError::Check(String::new())), "a line of a trace isn't in the log");
            false
        }
        Err(error) => return Err(error),
    };
    let names = verified.note.signatures().iter().map(|signature| signature.name.to_string());
    let log = checkpoint.origin.to_string();
    Ok(Proof {
        holds,
        size: checkpoint.size.get(),
        root: checkpoint.root.to_string().into(),
        as_of: spoken(now_ms(), lang).into(),
        cosigners: names.filter(|name| *name != log).map(Text::from).collect(),
        log: log.into(),
        signed_by: line.author.as_str().into(),
        leaf: leaf_hash(&line.bytes).to_string().into(),
        download: Some(format!("/trace/{index}/preuve")),
    })
}

fn actions(event: &Event, lang: Lang) -> Actions {
    let is_by_party = !event.flags.contains(Flags::LEDGER);
    let actor = event.record.as_ref().and_then(|record| record.actor.as_ref());
    let is_professional = actor.is_some_and(|actor| {
        ![sillage_rules::consent::name::PATIENT_SYSTEM, sillage_rules::consent::name::AUTHOR_SYSTEM]
            .contains(&actor.system.as_str())
            && !actor.id.is_empty()
    });
    let did_something = matches!(event.kind.group(), Group::Access | Group::Movement | Group::Emergency);
    let has_items = event.record.as_ref().is_some_and(|record| record.items.iter().any(|item| !item.id.is_empty()));
    let at = |path: &str| format!("/choix/{path}?ligne={}", event.index);
    Actions {
        // A choice about a secret line would tell in the open trace what the line keeps secret.
        block: (is_professional && did_something && !event.secret).then(|| at("bloquer")),
        mask: (has_items && event.kind != Kind::ACCESS_DELETE && did_something && !event.secret).then(|| at("masquer")),
        ask: (is_contestable(event.kind) && is_by_party && !event.secret)
            .then(|| format!("/trace/{}/question", event.index)),
        unavailable: (event.secret && did_something).then(|| {
            pick(
                lang,
                "Cette ligne est secrète. Un choix fait ici se verrait dans la trace que lisent vos représentants.",
                "This line is secret. A choice made here would show in the trace that your representatives read.",
            )
            .into()
        }),
    }
}
