//! Emergencies, each as one story; and questions to establishments, with their answers.

use std::collections::BTreeMap;

use serde_json::Value;
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::consent::change::{Change, new_id};
use sillage_client::consent::known::AsOf;
use sillage_client::error::Code;
use sillage_client::trace::TracedLine;
use sillage_proto::v1;
use sillage_rules::consent::Event;
use sillage_rules::consent::env::Policy;
use sillage_rules::consent::people::Verdict;
use sillage_rules::doors::DoorRecord;
use sillage_rules::doors::contest::{DUE_MS, is_contestable};
use sillage_rules::entry::Flags;
use sillage_rules::kind::{Group, Kind};
use sillage_words::Lang;
use sillage_words::names::short_who;
use sillage_words::time::spoken;
use sillage_words::words::pick;

use super::choices::said;
use super::lines::in_paris;
use super::visit::Visit;
use super::{Answered, Ledger, Portal, Trouble};
use crate::cookie::Purpose;
use crate::pages;
use crate::view::stories::{
    Answer, AskView, Contest, ContestState, ContestsView, EmergenciesView, Emergency, EmergencyState,
    QUESTION_BYTES_MAX, Step,
};
use crate::view::{FieldError, Text, fields};
use crate::web::Asked;
use crate::web::answer;

/// Lines of one call: the ledger's own bound.
const PAGE: u32 = 500;
/// Lines of one group that are read.
const LINES_MAX: usize = 5_000;
impl Portal {
    /// The lines of one group, oldest first.
    async fn of_group(&self, ledger: &Ledger, visit: &Visit, group: Group) -> Result<Vec<TracedLine>, ClientError> {
        let request = v1::TraceRequest { kind: u32::from(group.code()) << 8, ..v1::TraceRequest::default() };
        let (mut lines, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = visit.patient.trace(&ledger.session, &request, cursor.as_deref(), PAGE).await?;
            lines.extend(page.lines);
            cursor = page.next_cursor;
            if cursor.is_none() || lines.len() >= LINES_MAX {
                lines.reverse();
                return Ok(lines);
            }
        }
    }

    /// Every question of the patient, newest first.
    pub(super) async fn contests(
        &self,
        ledger: &Ledger,
        visit: &Visit,
        lang: Lang,
    ) -> Result<Vec<Contest>, ClientError> {
        let lines = self.of_group(ledger, visit, Group::FollowUp).await?;
        let (mut out, mut places): (Vec<Contest>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
        for traced in lines.iter().filter(|line| line.line.voided.is_none()) {
            let Some(record) = &traced.line.record else { continue };
            let (index, time_ms) = (traced.line.entry.index.get(), traced.line.entry.time.get());
            match DoorRecord::of(record) {
                Ok(Some(DoorRecord::ContestOpened(opened))) => {
                    places.insert(opened.id.clone(), out.len());
                    let due_ms = time_ms.saturating_add(DUE_MS);
                    out.push(Contest {
                        index,
                        about: opened.about,
                        line: numbered(opened.about, lang),
                        question: opened.question.as_str().into(),
                        to: whom(lang),
                        asked: in_paris(time_ms).0,
                        due: in_paris(due_ms).0,
                        state: if now_ms() > due_ms { ContestState::Overdue } else { ContestState::Waiting },
                        answers: Vec::new(),
                        close: Some(self.named(visit, opened.id.as_bytes())),
                    });
                }
                Ok(Some(DoorRecord::ContestAnswered(answered))) => {
                    let Some(contest) = places.get(&answered.contest).and_then(|at| out.get_mut(*at)) else { continue };
                    let by = record.message().actor.as_ref().map(|actor| short_who(actor, lang)).unwrap_or_default();
                    let day = in_paris(time_ms).0;
                    contest.answers.push(Answer { by: by.into(), day, text: answered.answer.as_str().into(), index });
                    if contest.answers.len() == 1 {
                        let is_late = day > contest.due;
                        contest.state = if is_late { ContestState::AnsweredLate } else { ContestState::Answered };
                    }
                }
                Ok(Some(DoorRecord::ContestClosed(closed))) => {
                    let Some(contest) = places.get(&closed.contest).and_then(|at| out.get_mut(*at)) else { continue };
                    contest.state = ContestState::Closed;
                    contest.close = None;
                }
                // The details of contests were free before level 5.
                _ => {}
            }
        }
        out.reverse();
        Ok(out)
    }

    pub(super) async fn questions(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let contests = self.contests(self.ledger().await?, &visit, lang).await?;
        let view = ContestsView { contests, asked: asked.query.text("posee").parse().ok() };
        Ok(self.page(pages::questions::questions(&self.chrome(asked, Some(&visit)), &view)))
    }

    pub(super) async fn ask_form(&self, asked: &Asked, index: &str) -> Answered {
        let visit = self.visit(asked).await?;
        let id = self.sealed_form(&visit, new_id("q")?.as_bytes())?;
        self.ask_page(asked, &visit, index, (id, String::new()), Vec::new()).await
    }

    async fn ask_page(
        &self,
        asked: &Asked,
        visit: &Visit,
        index: &str,
        (record, typed): (String, String),
        errors: Vec<FieldError>,
    ) -> Answered {
        let lang = self.lang(asked);
        let found = self.found(self.ledger().await?, visit, index).await?;
        let entry = &found.line().line.entry;
        // Every other line tells of nobody who could be asked.
        if !is_contestable(entry.kind) || entry.flags.contains(Flags::LEDGER) {
            return Err(Trouble::NotFound);
        }
        let view =
            AskView { about: entry.index.get(), line: said(found.line(), lang), to: whom(lang), record, typed, errors };
        let mut chrome = self.chrome(asked, Some(visit));
        chrome.path = format!("/trace/{}/question", entry.index);
        Ok(self.page(pages::questions::ask(&chrome, &view)))
    }

    /// Asks why, once, however often the form comes.
    pub(super) async fn ask(&self, asked: &Asked, index: &str) -> Answered {
        let (visit, form) = self.own_form(asked).await?;
        let (ledger, lang) = (self.ledger().await?, self.lang(asked));
        let sealed = form.text(fields::RECORD).to_owned();
        let id = self.opened_as(&visit, Purpose::Form, &sealed).and_then(|id| String::from_utf8(id).ok());
        let id = id.ok_or(Trouble::FormOutOfDate)?;
        let about: u64 = index.parse().map_err(|_| Trouble::NotFound)?;
        let question = form.text(fields::QUESTION).to_owned();
        if question.is_empty() || question.len() > QUESTION_BYTES_MAX {
            let text = match question.is_empty() {
                true => pick(lang, "Écrivez votre question.", "Write your question."),
                false => pick(
                    lang,
                    "Votre question est trop longue : 4 000 caractères au plus.",
                    "Your question is too long: 4,000 characters at most.",
                ),
            };
            let errors = vec![FieldError { field: fields::QUESTION, text: text.into() }];
            return self.ask_page(asked, &visit, index, (sealed, question), errors).await;
        }
        let secret = self.found(ledger, &visit, index).await?.line().secret;
        let details = serde_json::json!({"id": id, "about": about, "question": question});
        let opened = Change::with(Kind::CONTEST_OPENED, details);
        let record = visit.patient.record_of(&opened, now_ms(), secret)?;
        let signed = visit.patient.sign(&self.origin, record)?;
        match ledger.recorders.send(vec![signed]).await {
            Ok(receipt) => Ok(answer::see_other(&format!("/questions?posee={}", receipt.first_index))),
            Err(ClientError::Rejected(rejection)) if rejection.code == Code::IdTaken => {
                Ok(answer::see_other("/questions"))
            }
            Err(error) => Err(Trouble::MayBeRecorded(error)),
        }
    }

    pub(super) async fn close_question(&self, asked: &Asked) -> Answered {
        let (visit, form) = self.own_form(asked).await?;
        let (ledger, lang) = (self.ledger().await?, self.lang(asked));
        let id = self.opened(&visit, form.text(fields::CONTEST)).and_then(|id| String::from_utf8(id).ok());
        let id = id.ok_or(Trouble::FormOutOfDate)?;
        let value = form.text(fields::CONTEST);
        let open = self.contests(ledger, &visit, lang).await?;
        // It is closed once: whoever clicks twice sees that it is.
        if open.iter().any(|contest| contest.close.as_deref() == Some(value)) {
            let closed = Change::with(Kind::CONTEST_CLOSED, serde_json::json!({"contest": id}));
            let secret = self.contest_side(ledger, &visit, &id).await?;
            let record = visit.patient.record_of(&closed, now_ms(), secret)?;
            let signed = visit.patient.sign(&self.origin, record)?;
            match ledger.recorders.send(vec![signed]).await {
                Ok(_) => {}
                Err(ClientError::Rejected(rejection)) if rejection.code == Code::LoginReplayed => {}
                Err(error) => return Err(Trouble::MayBeRecorded(error)),
            }
        }
        Ok(answer::see_other("/questions"))
    }

    /// Whether a question stands in the secret trace.
    async fn contest_side(&self, ledger: &Ledger, visit: &Visit, id: &str) -> Result<bool, ClientError> {
        let lines = self.of_group(ledger, visit, Group::FollowUp).await?;
        let own = lines.iter().find(|traced| {
            let record = traced.line.record.as_ref().filter(|record| record.kind() == Kind::CONTEST_OPENED);
            let opened = record.and_then(|record| DoorRecord::of(record).ok().flatten());
            matches!(opened, Some(DoorRecord::ContestOpened(opened)) if opened.id == id)
        });
        Ok(own.is_some_and(|traced| traced.secret))
    }

    pub(super) async fn emergencies(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let lines = self.of_group(ledger, &visit, Group::Emergency).await?;
        let mut stories: Vec<(String, Vec<&TracedLine>)> = Vec::new();
        // A voided line says nothing any more: neither that it was justified, nor the verdict.
        for traced in lines.iter().filter(|line| line.line.voided.is_none()) {
            let Some(record) = &traced.line.record else { continue };
            let details: Value = serde_json::from_str(&record.message().details).unwrap_or_default();
            let text = |field: &str| details[field].as_str().unwrap_or_default().to_owned();
            match record.kind() {
                Kind::BREAKGLASS_OPENED => stories.push((text("id"), vec![traced])),
                _ => {
                    if let Some((_, own)) = stories.iter_mut().find(|(id, _)| *id == text("breakglass")) {
                        own.push(traced);
                    }
                }
            }
        }
        let policy = match stories.is_empty() {
            true => Policy::default(),
            false => visit.patient.known(&ledger.session, AsOf::Now).await?.policy,
        };
        let view =
            EmergenciesView { stories: stories.iter().rev().map(|(_, own)| story(own, &policy, lang)).collect() };
        Ok(self.page(pages::emergencies::emergencies(&self.chrome(asked, Some(&visit)), &view)))
    }
}

fn numbered(index: u64, lang: Lang) -> Text {
    match lang {
        Lang::Fr => format!("Ligne n° {index} de votre trace").into(),
        Lang::En => format!("Line no. {index} of your trace").into(),
    }
}

/// Whom a question goes to: the log decides it when it takes the question, by its list of sources.
fn whom(lang: Lang) -> Text {
    pick(
        lang,
        "l'établissement de cet accès, ou à défaut le service qui l'a inscrit",
        "the establishment of this access, or else the service that recorded it",
    )
    .into()
}

/// The verdict of the newest review.
fn verdict(lines: &[&TracedLine]) -> Option<Verdict> {
    let reviews = lines.iter().rev().filter_map(|line| line.line.record.as_ref());
    reviews.filter_map(|record| Event::of(record).ok().flatten()).find_map(|event| match event {
        Event::BreakGlassReviewed { verdict, .. } => Some(verdict),
        _ => None,
    })
}

/// One break-glass, from its opening on.
fn story(lines: &[&TracedLine], policy: &Policy, lang: Lang) -> Emergency {
    let opened = lines[0];
    let record = opened.line.record.as_ref().map(|record| record.message().clone()).unwrap_or_default();
    let details: Value = serde_json::from_str(&record.details).unwrap_or_default();
    let text = |field: &str| details[field].as_str().unwrap_or_default().to_owned();
    let has = |kind: Kind| lines.iter().find(|line| line.line.entry.kind == kind);
    let opened_ms = opened.line.entry.time.get();
    let due_ms = opened_ms.saturating_add(policy.justification_due_s.saturating_mul(1_000));
    let due: Text = spoken(due_ms, lang).into();
    let ends_ms = opened_ms.saturating_add(policy.breakglass_max_s.saturating_mul(1_000));
    let is_alive = now_ms() < ends_ms
        && text("expires").parse::<sillage_rules::time::TimeMs>().is_ok_and(|end| now_ms() < end.0)
        && has(Kind::BREAKGLASS_CLOSED).is_none();
    let state = match (verdict(lines), has(Kind::BREAKGLASS_JUSTIFIED), is_alive) {
        (Some(Verdict::NotJustified), ..) => EmergencyState::Rejected,
        (Some(Verdict::Justified), ..) => EmergencyState::Accepted,
        (None, Some(_), _) => EmergencyState::Justified,
        (None, None, true) => EmergencyState::Open { due: due.clone() },
        (None, None, false) if now_ms() > due_ms => EmergencyState::Overdue { due: due.clone() },
        (None, None, false) => EmergencyState::Waiting { due: due.clone() },
    };
    let step = |line: &&TracedLine| {
        let record = line.line.record.as_ref().map(|record| record.message().clone()).unwrap_or_default();
        let details: Value = serde_json::from_str(&record.details).unwrap_or_default();
        let quote = details["text"].as_str().filter(|text| !text.is_empty()).map(Text::from);
        Step {
            when: spoken(line.line.entry.time.get(), lang).into(),
            sentence: said(line, lang),
            quote,
            index: Some(line.line.entry.index.get()),
            missing: false,
        }
    };
    let mut steps: Vec<Step> = lines.iter().map(step).collect();
    if matches!(state, EmergencyState::Overdue { .. }) {
        let sentence = pick(lang, "Personne n'a justifié cet accès.", "Nobody justified this access.").into();
        steps.push(Step { when: due, sentence, quote: None, index: None, missing: true });
    }
    let reason = [text("text"), text("reason")].into_iter().find(|own| !own.is_empty()).unwrap_or_default();
    Emergency {
        who: sillage_words::names::who(&record, lang).into(),
        when: spoken(record.occurred_at_ms, lang).into(),
        reason: reason.into(),
        state,
        steps,
        ask: (!opened.secret).then(|| format!("/trace/{}/question", opened.line.entry.index)),
    }
}
