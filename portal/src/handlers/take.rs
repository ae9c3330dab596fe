//! Files to take along, the trace for printing, and the verifier, which runs in the browser.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sillage_client::ClientError;
use sillage_client::checks::{checkpoint, policy_texts_of};
use sillage_client::clock::now_ms;
use sillage_client::parts::accesses;
use sillage_client::trace::TracedLine;
use sillage_fhir::csv::csv;
use sillage_fhir::export::{Line, Subject, Trace, bundle};
use sillage_proof::hash::sha256;
use sillage_proto::v1;
use sillage_words::Lang;
use sillage_words::time::spoken;

use super::lines::days;
use super::visit::Visit;
use super::{Answered, Ledger, Portal, Trouble};
use crate::pages;
use crate::view::take::{File, FileKind, LogFacts, PrintView, TakeView, VerifyView};
use crate::web::Asked;
use crate::web::answer::{self, Policy};

/// Lines of one call: the ledger's own bound.
const PAGE: u32 = 500;
/// Lines that one file holds; whoever has more takes the bundle, which the ledger pages.
const LINES_MAX: usize = 20_000;
const BUNDLE_TIME: Duration = Duration::from_secs(15);
/// The file of the open trace, with its proof.
const BUNDLE: &str = "ma-trace.sillage-trace";
/// The same of the secret trace.
const SECRET_BUNDLE: &str = "ma-trace-secrete.sillage-trace";

/// Whether the secret trace is theirs: whoever represents a patient doesn't know that there is one.
fn has_secret(visit: &Visit) -> bool {
    visit.patient.is_own() && visit.patient.subject.secret.is_some()
}

impl Portal {
    /// Every line of the trace, newest first.
    async fn all_lines(&self, ledger: &Ledger, visit: &Visit) -> Result<Vec<TracedLine>, ClientError> {
        let (mut lines, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page =
                visit.patient.trace(&ledger.session, &v1::TraceRequest::default(), cursor.as_deref(), PAGE).await?;
            lines.extend(page.lines);
            cursor = page.next_cursor;
            if cursor.is_none() || lines.len() >= LINES_MAX {
                return Ok(lines);
            }
        }
    }

    /// The policy whose signatures count, as the keys in force make it.
    async fn policy_text(&self, ledger: &Ledger) -> Result<String, ClientError> {
        let size = checkpoint(&ledger.session).await?.checkpoint.size.get();
        // While the set of nodes changes there are two; whoever verifies then asks again later.
        Ok(policy_texts_of(&ledger.session.keys.at(size)).swap_remove(0))
    }

    async fn log_facts(&self, ledger: &Ledger, lang: Lang) -> Result<LogFacts, ClientError> {
        let checkpoint = checkpoint(&ledger.session).await?.checkpoint;
        let policy = self.policy_text(ledger).await?;
        Ok(LogFacts {
            log: checkpoint.origin.to_string().into(),
            size: checkpoint.size.get(),
            root: checkpoint.root.to_string().into(),
            as_of: spoken(now_ms(), lang).into(),
            policy: sha256(&[policy.as_bytes()]).to_string().into(),
            published: Vec::new(),
        })
    }

    pub(super) async fn take(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let file = |kind, path: &str| File { kind, path: format!("/emporter/{path}"), bytes: None };
        let view = TakeView {
            files: [
                Some(file(FileKind::Bundle, BUNDLE)),
                has_secret(&visit).then(|| file(FileKind::SecretBundle, SECRET_BUNDLE)),
                Some(file(FileKind::Fhir, "ma-trace.json")),
                Some(file(FileKind::Csv, "ma-trace.csv")),
            ]
            .into_iter()
            .flatten()
            .collect(),
            print: "/emporter/imprimer".to_owned(),
            lines: self.all_lines(ledger, &visit).await?.len(),
            log: self.log_facts(ledger, lang).await?,
        };
        Ok(self.page(pages::take::take(&self.chrome(asked, Some(&visit)), &view)))
    }

    pub(super) async fn file(&self, asked: &Asked, name: &str) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        match name {
            BUNDLE | SECRET_BUNDLE => {
                let is_secret = name == SECRET_BUNDLE;
                if is_secret && !has_secret(&visit) {
                    return Err(Trouble::NotFound);
                }
                let until = Instant::now() + BUNDLE_TIME;
                let (bundle, _) = visit.patient.bundle(&ledger.session, is_secret, None, until).await?;
                Ok(answer::download("application/octet-stream", name, bundle.encode()))
            }
            "ma-trace.json" => {
                let trace = self.export(ledger, &visit).await?;
                Ok(answer::download("application/fhir+json", name, format!("{:#}\n", bundle(&trace)).into_bytes()))
            }
            "ma-trace.csv" => {
                let trace = self.export(ledger, &visit).await?;
                Ok(answer::download("text/csv; charset=utf-8", name, csv(&trace).into_bytes()))
            }
            "imprimer" => {
                let lines = self.all_lines(ledger, &visit).await?;
                let view = PrintView {
                    name: visit.name.as_str().into(),
                    printed: spoken(now_ms(), lang).into(),
                    days: days(&accesses(&lines), lang),
                    lines: lines.len(),
                    log: self.log_facts(ledger, lang).await?,
                };
                Ok(self.page(pages::print::print(&self.chrome(asked, Some(&visit)), &view)))
            }
            _ => Err(Trouble::NotFound),
        }
    }

    async fn export(&self, ledger: &Ledger, visit: &Visit) -> Result<Trace, ClientError> {
        let mut lines = self.all_lines(ledger, visit).await?;
        lines.reverse();
        let subject = &visit.patient.subject;
        Ok(Trace {
            origin: self.origin.to_string(),
            read_at_ms: now_ms(),
            lines: lines.iter().map(exported).collect(),
            subject: Subject { ins: subject.ins.clone(), oid: subject.oid.clone() },
        })
    }

    pub(super) async fn verifier(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visitor(asked).and_then(Result::ok), self.lang(asked));
        let ledger = self.ledger().await?;
        let view = VerifyView {
            bundles: visit
                .iter()
                .flat_map(|visit| [Some(BUNDLE), has_secret(visit).then_some(SECRET_BUNDLE)])
                .flatten()
                .map(|name| format!("/emporter/{name}"))
                .collect(),
            policy: "/verifier/politique.txt".to_owned(),
            log: self.log_facts(ledger, lang).await?,
        };
        let markup = pages::verify::verify(&self.chrome(asked, visit.as_ref()), &view);
        Ok(answer::page(StatusCode::OK, &Policy::Verifier, markup))
    }

    /// The policy of signatures, which is public.
    pub(super) async fn policy_file(&self) -> Answered {
        let text = self.policy_text(self.ledger().await?).await?;
        Ok(answer::download("text/plain; charset=utf-8", "politique.txt", text.into_bytes()))
    }
}

fn exported(traced: &TracedLine) -> Line {
    let entry = &traced.line.entry;
    Line {
        index: entry.index.get(),
        recorded_at_ms: entry.time.get(),
        flags: entry.flags,
        kind: entry.kind,
        record: traced.line.record.clone(),
        decision: traced.line.decision.clone(),
        erased: traced.line.erased.clone(),
        voided_by: traced.line.voided.as_ref().map(|by| by.index),
        author: traced.line.author.clone(),
        secret: traced.secret,
    }
}
