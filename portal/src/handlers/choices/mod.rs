//! « Mes choix »: what holds ([`Portal::choices`]), the form of each sort ([`form`]), what a form means ([`change`]), its preview and its
//! confirmation ([`confirm`]).
//!
//! A preview makes the record whole, and its form carries it, sealed: whoever confirms twice, at any instance, brings the same record,
//! which the log takes once (`LOGIN_REPLAYED`), and is told where it stands.

pub mod change;
pub mod confirm;
pub mod form;

use sillage_client::consent::history::{Standing, standings};
use sillage_client::consent::known::{AsOf, Decided, Known};
use sillage_client::parts::oldest_first;
use sillage_client::trace::TracedLine;
use sillage_rules::kind::Kind;
use sillage_words::Lang;
use sillage_words::time::spoken;
use sillage_words::words::pick;

use super::lines::line;
use super::visit::Visit;
use super::{Answered, Portal};
use crate::pages;
use crate::view::Fact;
use crate::view::Text;
use crate::view::choices::{ChoicesView, DoneView, Held, Sort};
use crate::web::Asked;
use crate::web::fields::encoded;

/// What a line says, with who did it.
pub(super) fn said(traced: &TracedLine, lang: Lang) -> Text {
    let lines = [traced.clone()];
    let event = oldest_first(&lines)[0].event();
    let line = line(&event, "", lang);
    match line.who {
        Some(who) => format!("{who} {}", line.sentence).into(),
        None => line.sentence,
    }
}

fn traced(decided: &Decided, secret: bool) -> TracedLine {
    TracedLine { line: decided.line.clone(), secret }
}

/// Under which head a record of this kind stands; none where it is no choice.
fn sort_of(kind: Kind) -> Option<Sort> {
    Some(match kind {
        Kind::CONSENT_DIRECTIVE => Sort::Permit,
        Kind::ITEM_MASKED | Kind::MINOR_SECRECY_SET => Sort::Mask,
        Kind::PROFESSIONAL_BLOCKED => Sort::Block,
        Kind::FEED_OPPOSED => Sort::OpposeFeed,
        Kind::EMERGENCY_OPPOSITION => Sort::OpposeEmergency,
        Kind::ATTENDING_DECLARED => Sort::Attending,
        Kind::CARETEAM_JOINED => Sort::Team,
        Kind::REPRESENTATION_REGISTERED => Sort::Trusted,
        Kind::SPACE_OPPOSED | Kind::SPACE_CLOSED => Sort::Close,
        _ => return None,
    })
}

/// The records that hold now, or will, newest first; and which of the two traces each is of.
fn holding(known: &Known) -> Vec<(&Decided, bool, Standing)> {
    let mut out = Vec::new();
    for (side, secret) in known.sides() {
        let all = side.records.iter().zip(standings(side, known.at()));
        out.extend(
            all.filter(|(_, standing)| matches!(standing, Standing::InForce | Standing::ToCome(_)))
                .map(|(decided, standing)| (decided, secret, standing)),
        );
    }
    out.sort_by_key(|(decided, ..)| std::cmp::Reverse(decided.line.entry.index));
    out
}

impl Portal {
    pub(super) async fn choices(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let known = visit.patient.known(&self.ledger().await?.session, AsOf::Now).await?;
        let held = |(decided, secret, standing): (&Decided, bool, Standing)| {
            let kind = decided.line.entry.kind;
            let mut sort = sort_of(kind)?;
            let is_denial =
                decided.line.record.as_ref().is_some_and(|record| {
                    kind == Kind::CONSENT_DIRECTIVE && record.message().details.contains("\"deny\"")
                });
            if is_denial {
                sort = Sort::Deny;
            }
            let index = decided.line.entry.index.get();
            let mut notes: Vec<Text> = vec![match lang {
                Lang::Fr => format!("inscrit le {}", spoken(decided.line.entry.time.get(), lang)).into(),
                Lang::En => format!("recorded on {}", spoken(decided.line.entry.time.get(), lang)).into(),
            }];
            if let Standing::ToCome(from) = standing {
                notes.push(match lang {
                    Lang::Fr => format!("vaut à partir du {}", spoken(from.get(), lang)).into(),
                    Lang::En => format!("holds from {} on", spoken(from.get(), lang)).into(),
                });
            }
            Some(Held {
                sort,
                sentence: said(&traced(decided, secret), lang),
                notes,
                secret,
                withdraw: Some(self.withdrawal(&visit, index)),
                index,
            })
        };
        let view = ChoicesView { held: holding(&known).into_iter().filter_map(held).collect(), unavailable: None };
        Ok(self.page(pages::choices::choices(&self.chrome(asked, Some(&visit)), &view)))
    }

    /// The address of the form that withdraws what this record says.
    fn withdrawal(&self, visit: &Visit, index: u64) -> String {
        let rule = self.named(visit, &index.to_be_bytes());
        format!("/choix/{}?{}={}", Sort::Withdraw.slug(), crate::view::fields::RULE, encoded(&rule))
    }

    pub(super) async fn done(&self, asked: &Asked, index: &str) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let found = self.found(ledger, &visit, index).await?;
        let traced = found.line();
        let (entry, kind) = (&traced.line.entry, traced.line.entry.kind);
        let fact = |fr: &str, en: &str, value: String| Fact { name: pick(lang, fr, en).into(), value: value.into() };
        let sort = sort_of(kind);
        let view = DoneView {
            sort: sort.unwrap_or(Sort::Withdraw),
            sentence: said(traced, lang),
            index: entry.index.get(),
            recorded: spoken(entry.time.get(), lang).into(),
            receipt: vec![
                fact("Registre", "Log", self.origin.to_string()),
                fact("Inscrit par", "Recorded by", traced.line.author.clone()),
                fact("Empreinte", "Hash", entry.record_hash.to_string()),
            ],
            download: Some(format!("/trace/{}/preuve", entry.index)),
            undo: sort.map(|_| self.withdrawal(&visit, entry.index.get())),
            again: asked.query.is_set("encore"),
        };
        Ok(self.page(pages::preview::done(&self.chrome(asked, Some(&visit)), &view)))
    }
}
