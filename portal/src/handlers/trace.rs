//! « Qui a accédé ? »: a page of the trace, with filters and a place to go on, all by GET.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use sillage_client::checks::{check_inclusion, checkpoint_over};
use sillage_client::error::Code;
use sillage_client::parts::accesses;
use sillage_client::trace::{Page, TracedLine};
use sillage_client::{ClientError, clock};
use sillage_proto::v1;
use sillage_rules::kind::Group;
use sillage_words::Lang;
use sillage_words::names::short_who;
use sillage_words::time::{parse_bound, parse_end, spoken};
use sillage_words::words::pick;
use tokio::task::JoinSet;

use super::lines::{actor, days};
use super::visit::Visit;
use super::{Answered, Ledger, Portal};
use crate::pages;
use crate::view::trace::{Checked, Filters, TraceView};
use crate::view::{Choice, FieldError, fields};
use crate::web::Asked;
use crate::web::answer::{self, Policy};
use crate::web::fields::{Fields, encoded};

/// Lines of a page.
const LINES: u32 = 50;
const PATH: &str = "/trace";
/// Groups of events that one may look for, with their words.
const KINDS: [(Group, &str, &str); 6] = [
    (Group::Access, "Accès aux documents", "Accesses to documents"),
    (Group::Movement, "Envois vers d'autres", "Sent elsewhere"),
    (Group::Emergency, "Urgences", "Emergencies"),
    (Group::Decision, "Demandes d'accès", "Requests for access"),
    (Group::Consent, "Autorisations et refus", "Permissions and denials"),
    (Group::FollowUp, "Questions, connexions, lectures de la trace", "Questions, logins, readings of the trace"),
];

/// What a page is narrowed to, as it was asked for.
struct Narrowed {
    request: v1::TraceRequest,
    filters: Filters,
    person: Option<v1::Actor>,
    structure: String,
}

impl Portal {
    pub(super) async fn trace(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let mut narrowed = self.narrowed(&visit, &asked.query, lang);
        let place = asked.query.text(fields::PAGE);
        let cursor = self.opened(&visit, place).and_then(|cursor| String::from_utf8(cursor).ok());
        let page = self.trace_page(ledger, &visit, &narrowed.request, cursor.as_deref()).await?;
        let checked = checked(ledger, &page.lines, lang).await;
        self.offer(&visit, &mut narrowed, &page, lang);
        let older = page.next_cursor.as_ref().map(|cursor| self.named(&visit, cursor.as_bytes()));
        let with_place = |place: Option<&str>| address(&asked.query, place);
        let view = TraceView {
            days: days(&accesses(&page.lines), lang),
            filters: narrowed.filters,
            older: older.as_deref().map(|place| with_place(Some(place))),
            newer: cursor.is_some().then(|| with_place(None)),
            total_shown: page.lines.len(),
            checked,
            path: PATH.to_owned(),
        };
        Ok(answer::page(StatusCode::OK, &Policy::Page, pages::trace::trace(&self.chrome(asked, Some(&visit)), &view)))
    }

    /// A page. A cursor that the log no longer takes, of a bookmark, begins again.
    async fn trace_page(
        &self,
        ledger: &Ledger,
        visit: &Visit,
        request: &v1::TraceRequest,
        cursor: Option<&str>,
    ) -> Result<Page, ClientError> {
        match visit.patient.trace(&ledger.session, request, cursor, LINES).await {
            Err(ClientError::Rejected(rejection)) if rejection.code == Code::InvalidCursor && cursor.is_some() => {
                visit.patient.trace(&ledger.session, request, None, LINES).await
            }
            answer => answer,
        }
    }

    fn narrowed(&self, visit: &Visit, query: &Fields, lang: Lang) -> Narrowed {
        let (from, to) = (query.text(fields::FROM), query.text(fields::UNTIL));
        let mut errors = Vec::new();
        let mut day = |field: &'static str, text: &str, read: fn(&str, &str) -> Option<u64>| {
            let ms = if text.is_empty() { Some(0) } else { read(field, text) };
            ms.unwrap_or_else(|| {
                let what = pick(lang, "Écrivez une date, comme 2026-03-02.", "Write a date, such as 2026-03-02.");
                errors.push(FieldError { field, text: what.into() });
                0
            })
        };
        let from_ms = day(fields::FROM, from, |field, text| parse_bound(field, text).ok());
        let to_ms = day(fields::UNTIL, to, |field, text| parse_end(field, text).ok());
        let person = self.opened(visit, query.text(fields::PERSON));
        let person = person.and_then(|bytes| <v1::Actor as prost::Message>::decode(&bytes[..]).ok());
        let structure = self.opened(visit, query.text(fields::STRUCTURE));
        let structure = structure.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let group = Group::from_token(query.text(fields::KIND));
        let (emergencies, unjustified) = (query.is_set(fields::EMERGENCY), query.is_set(fields::UNJUSTIFIED));
        let kinds = KINDS.iter().map(|(own, fr, en)| Choice {
            value: own.token().to_owned(),
            label: pick(lang, fr, en).into(),
            hint: "".into(),
            chosen: Some(*own) == group,
        });
        let filters = Filters {
            from: from.to_owned(),
            to: to.to_owned(),
            kinds: kinds.collect(),
            emergencies,
            unjustified,
            errors,
            ..Filters::default()
        };
        let request = v1::TraceRequest {
            from_ms,
            to_ms,
            actor: person.as_ref().map(|person| person.id.clone()).unwrap_or_default(),
            organisation: structure.clone(),
            kind: group.map_or(0, |group| u32::from(group.code()) << 8),
            only_break_glass: emergencies,
            only_unjustified: unjustified,
            ..v1::TraceRequest::default()
        };
        Narrowed { request, filters, person, structure }
    }

    /// Offers whom and what the page shows to be looked for.
    fn offer(&self, visit: &Visit, narrowed: &mut Narrowed, page: &Page, lang: Lang) {
        let (mut people, mut structures) = (BTreeMap::new(), BTreeMap::new());
        for actor in page.lines.iter().filter_map(actor).chain(narrowed.person.clone()) {
            if !actor.organisation.is_empty() {
                structures.insert(actor.organisation.clone(), ());
            }
            people.entry(actor.id.clone()).or_insert(actor);
        }
        if !narrowed.structure.is_empty() {
            structures.insert(narrowed.structure.clone(), ());
        }
        let chosen = narrowed.person.as_ref().map(|person| person.id.clone());
        for (id, actor) in people {
            let own = v1::Actor { organisation: String::new(), role: String::new(), ..actor.clone() };
            narrowed.filters.people.push(Choice {
                value: self.named(visit, &prost::Message::encode_to_vec(&own)),
                label: short_who(&actor, lang).into(),
                hint: actor.organisation.into(),
                chosen: chosen.as_ref() == Some(&id),
            });
        }
        for (structure, ()) in structures {
            narrowed.filters.structures.push(Choice {
                value: self.named(visit, structure.as_bytes()),
                chosen: structure == narrowed.structure,
                label: structure.into(),
                hint: "".into(),
            });
        }
    }
}

/// The address of this page at another place.
fn address(query: &Fields, place: Option<&str>) -> String {
    let kept = query.iter().filter(|(name, value)| *name != fields::PAGE && !value.is_empty());
    let mut pairs: Vec<String> = kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.extend(place.map(|place| format!("{}={}", fields::PAGE, encoded(place))));
    match pairs.is_empty() {
        true => PATH.to_owned(),
        false => format!("{PATH}?{}", pairs.join("&")),
    }
}

/// Holds the lines against the log: each is in it, under a signed checkpoint. None where that couldn't be done now.
pub(super) async fn checked(ledger: &Ledger, lines: &[TracedLine], lang: Lang) -> Option<Checked> {
    let newest = lines.iter().map(|line| line.line.entry.index.get()).max()?;
    let checkpoint = Arc::new(checkpoint_over(&ledger.session, newest).await.ok()?.checkpoint);
    let mut proofs = JoinSet::new();
    for line in lines {
        let (session, checkpoint) = (Arc::clone(&ledger.session), Arc::clone(&checkpoint));
        let (index, entry) = (line.line.entry.index.get(), line.line.bytes.clone());
        proofs.spawn(async move { check_inclusion(&session, &checkpoint, index, &entry).await.map(drop) });
    }
    while let Some(proof) = proofs.join_next().await {
        if let Err(error) = proof.ok()? {
            tracing::error!(error = super::kind_of(&error), "a line of a trace couldn't be held against the log");
            return None;
        }
    }
    Some(Checked { lines: lines.len(), size: checkpoint.size.get(), as_of: spoken(clock::now_ms(), lang).into() })
}
