//! The form of a choice: what it offers, what was typed, what is wrong with it.

use std::collections::BTreeMap;

use axum::http::Method;
use sillage_client::ClientError;
use sillage_client::consent::known::{AsOf, Known};
use sillage_client::trace::TracedLine;
use sillage_proto::v1;
use sillage_rules::consent::name::{AUTHOR_SYSTEM, PATIENT_SYSTEM};
use sillage_words::Lang;
use sillage_words::names::{item_name, short_who};
use sillage_words::vocabulary;
use sillage_words::words::{pick, role};

use super::super::lines::actor;
use super::super::visit::Visit;
use super::super::{Answered, Ledger, Portal, Trouble};
use super::{said, traced};
use crate::pages;
use crate::view::choices::{FormView, Offered, Sort, Values};
use crate::view::{Choice, FieldError, Hidden, Text, fields};
use crate::web::Asked;
use crate::web::fields::Fields;

/// Lines of the trace out of which people and documents are offered.
const LINES: u32 = 500;
/// Choices of one list; beyond, a number is typed.
const OFFERED_MAX: usize = 60;

/// Fields that a form carries over a preview and back.
const CARRIED: [&str; 14] = [
    fields::PERSON,
    fields::NUMBER,
    fields::STRUCTURE,
    fields::DOCUMENT,
    fields::CATEGORY,
    fields::FEED,
    fields::CASE,
    fields::EXTENT,
    fields::DURATION,
    fields::UNTIL,
    fields::GRANTEE,
    fields::IDENTIFIER,
    fields::SECRET,
    fields::RULE,
];

/// The values of a form, as its view has them.
pub fn values(form: &Fields) -> Values {
    let mut out = Values::default();
    for name in CARRIED {
        form.all(name).into_iter().for_each(|value| out.add(name, value));
    }
    out
}

/// The same, as a form carries them without showing them.
pub fn hidden(form: &Fields) -> Vec<Hidden> {
    let of = |name: &&str| {
        form.all(name).into_iter().map(|value| Hidden { name: (*name).to_owned(), value }).collect::<Vec<_>>()
    };
    CARRIED.iter().flat_map(of).collect()
}

impl Portal {
    /// The form of a sort: empty, begun at a line of the trace, or with what was typed before.
    pub(in crate::handlers) async fn choice_form(&self, asked: &Asked, slug: &str) -> Answered {
        let sort = Sort::of_slug(slug).ok_or(Trouble::NotFound)?;
        match asked.method {
            Method::POST => {
                let (visit, form) = self.own_form(asked).await?;
                self.form_page(asked, &visit, sort, values(&form), Vec::new()).await
            }
            _ => {
                let visit = self.visit(asked).await?;
                let mut values = Values::default();
                let rule = asked.query.text(fields::RULE);
                if !rule.is_empty() {
                    values.add(fields::RULE, rule);
                }
                let line = asked.query.text(fields::LINE);
                if !line.is_empty() {
                    let found = self.found(self.ledger().await?, &visit, line).await?;
                    if found.line().secret {
                        // No page offers it: the choice would tell what the line keeps secret.
                        return Err(Trouble::NotFound);
                    }
                    let access = found.access();
                    if let Some(person) = actor(found.line()) {
                        values.add(fields::PERSON, self.person_value(&visit, &person));
                    }
                    for item in access.items() {
                        values.add(fields::DOCUMENT, self.document_value(&visit, &item));
                    }
                }
                self.form_page(asked, &visit, sort, values, Vec::new()).await
            }
        }
    }

    /// The page of a form.
    pub(in crate::handlers) async fn form_page(
        &self,
        asked: &Asked,
        visit: &Visit,
        sort: Sort,
        values: Values,
        errors: Vec<FieldError>,
    ) -> Answered {
        let (ledger, lang) = (self.ledger().await?, self.lang(asked));
        let known = visit.patient.known(&ledger.session, AsOf::Now).await?;
        let rule = match sort {
            Sort::Withdraw => Some(self.rule_text(visit, &known, values.one(fields::RULE), lang)?),
            _ => None,
        };
        let carried = match sort {
            Sort::Withdraw => {
                vec![Hidden { name: fields::RULE.to_owned(), value: values.one(fields::RULE).to_owned() }]
            }
            _ => Vec::new(),
        };
        let view = FormView {
            sort,
            offered: self.offered(ledger, visit, sort, &values, lang).await?,
            values,
            errors,
            hidden: carried,
            may_hide: may_hide(visit, &known) && sort == Sort::Mask,
            rule,
        };
        let mut chrome = self.chrome(asked, Some(visit));
        chrome.path = format!("/choix/{}", sort.slug());
        Ok(self.page(pages::form::form(&chrome, &view)))
    }

    /// What the rule says that a form withdraws.
    fn rule_text(&self, visit: &Visit, known: &Known, value: &str, lang: Lang) -> Result<Text, Trouble> {
        let index = self.rule_index(visit, value).ok_or(Trouble::FormOutOfDate)?;
        let found = known.sides().flat_map(|(side, secret)| side.records.iter().map(move |decided| (decided, secret)));
        let own = found.into_iter().find(|(decided, _)| decided.line.entry.index.get() == index);
        own.map(|(decided, secret)| said(&traced(decided, secret), lang)).ok_or(Trouble::NotFound)
    }

    /// The number of the record that a form withdraws.
    pub(in crate::handlers) fn rule_index(&self, visit: &Visit, value: &str) -> Option<u64> {
        let bytes = self.opened(visit, value)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A professional, as a form sends them.
    pub(in crate::handlers) fn person_value(&self, visit: &Visit, person: &v1::Actor) -> String {
        let (system, id) = (person.system.clone(), person.id.clone());
        let own = v1::Actor { system, id, label: person.label.clone(), ..v1::Actor::default() };
        self.named(visit, &prost::Message::encode_to_vec(&own))
    }

    /// A document, as a form sends it.
    pub(in crate::handlers) fn document_value(&self, visit: &Visit, item: &v1::Item) -> String {
        let own = v1::Item { id: item.id.clone(), label: item.label.clone(), ..v1::Item::default() };
        self.named(visit, &prost::Message::encode_to_vec(&own))
    }

    async fn offered(
        &self,
        ledger: &Ledger,
        visit: &Visit,
        sort: Sort,
        values: &Values,
        lang: Lang,
    ) -> Result<Offered, ClientError> {
        let mut out = Offered::default();
        let of_people = matches!(sort, Sort::Permit | Sort::Deny | Sort::Block | Sort::Attending | Sort::Team);
        let lines = match of_people || matches!(sort, Sort::Mask | Sort::OpposeFeed) {
            true => visit.patient.trace(&ledger.session, &v1::TraceRequest::default(), None, LINES).await?.lines,
            false => Vec::new(),
        };
        // What stands in secret lines alone isn't offered: the choice would tell of it in the open trace.
        let lines: Vec<TracedLine> = lines.into_iter().filter(|line| !line.secret).collect();
        let choice = |value: String, label: String, hint: String| Choice {
            value,
            label: label.into(),
            hint: hint.into(),
            chosen: false,
        };
        if of_people {
            for person in professionals(&lines).into_values().take(OFFERED_MAX) {
                let hint = [role(&person.role, lang), person.organisation.clone()];
                let hint: Vec<String> = hint.into_iter().filter(|part| !part.is_empty()).collect();
                out.people.push(choice(self.person_value(visit, &person), short_who(&person, lang), hint.join(", ")));
            }
        }
        if matches!(sort, Sort::Permit | Sort::Deny) {
            for structure in structures(&lines) {
                out.structures.push(choice(self.named(visit, structure.as_bytes()), structure, String::new()));
            }
            for (token, fr, en) in vocabulary::CATEGORIES
                .iter()
                .filter(|(token, ..)| token.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            {
                out.categories.push(choice((*token).to_owned(), pick(lang, fr, en).to_owned(), String::new()));
            }
        }
        if sort == Sort::Mask {
            for item in documents(&lines).into_values().take(OFFERED_MAX) {
                let name = item_name(&item, lang);
                let hint = if name == item.id { String::new() } else { item.id.clone() };
                out.documents.push(choice(self.document_value(visit, &item), name, hint));
            }
            let unknown = values.0.get(fields::DOCUMENT).into_iter().flatten();
            for value in
                unknown.filter(|value| !out.documents.iter().any(|own| own.value == **value)).collect::<Vec<_>>()
            {
                let item =
                    self.opened(visit, value).and_then(|bytes| <v1::Item as prost::Message>::decode(&bytes[..]).ok());
                if let Some(item) = item {
                    out.documents.push(choice(value.clone(), item_name(&item, lang), String::new()));
                }
            }
        }
        if sort == Sort::OpposeFeed {
            let all = pick(lang, "Tous les professionnels", "Every professional").to_owned();
            out.feeds.push(choice(
                self.named(visit, sillage_rules::consent::people::PROFESSIONALS.as_bytes()),
                all,
                String::new(),
            ));
            for structure in structures(&lines) {
                out.feeds.push(choice(self.named(visit, structure.as_bytes()), structure, String::new()));
            }
        }
        if sort == Sort::OpposeEmergency {
            for token in ["INCAPACITY", "SAMU", "FIRE"] {
                out.cases.push(choice(token.to_owned(), sillage_words::decided::case(token, lang), String::new()));
            }
        }
        Ok(out)
    }
}

/// Whether the patient may keep a choice from representatives: there are some, and the patient acts.
pub fn may_hide(visit: &Visit, known: &Known) -> bool {
    let mut all = known.open.state.representations();
    visit.patient.is_own() && visit.patient.subject.secret.is_some() && all.any(|own| own.period.is_alive(known.at()))
}

fn professionals(lines: &[TracedLine]) -> BTreeMap<(String, String), v1::Actor> {
    let mut out = BTreeMap::new();
    for person in lines.iter().filter_map(actor) {
        let is_one = ![PATIENT_SYSTEM, AUTHOR_SYSTEM].contains(&person.system.as_str()) && !person.id.is_empty();
        if is_one {
            let known: &mut v1::Actor =
                out.entry((person.system.clone(), person.id.clone())).or_insert_with(|| person.clone());
            // Whoever is named somewhere is shown by that name.
            if known.label.is_empty() && !person.label.is_empty() {
                *known = person;
            }
        }
    }
    out
}

fn structures(lines: &[TracedLine]) -> Vec<String> {
    let mut all: Vec<String> =
        lines.iter().filter_map(actor).map(|person| person.organisation).filter(|own| !own.is_empty()).collect();
    all.sort();
    all.dedup();
    all.truncate(OFFERED_MAX);
    all
}

fn documents(lines: &[TracedLine]) -> BTreeMap<String, v1::Item> {
    let mut out = BTreeMap::new();
    for line in lines {
        let of_record = line.line.record.as_ref().map(|record| record.message().items.clone());
        let decided = line.line.decision.as_ref().map(sillage_rules::line::decided_items);
        for item in of_record.into_iter().chain(decided).flatten().filter(|item| !item.id.is_empty()) {
            out.entry(item.id.clone()).or_insert(item);
        }
    }
    out
}
