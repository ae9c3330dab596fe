//! What a form means: a change, or what is wrong with its fields.

use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::consent::change::{Change, Fields as Details, new_id};
use sillage_client::consent::known::Known;
use sillage_client::consent::who::{Short, check, parse};
use sillage_proto::v1;
use sillage_rules::consent::{ActorName, Event};
use sillage_rules::ident::{Checks, Source};
use sillage_rules::kind::Kind;
use sillage_words::Lang;
use sillage_words::names::{item_name, short_who};
use sillage_words::time::{parse_end, rfc3339, spoken_end};
use sillage_words::words::{category, pick};

use super::super::Portal;
use super::super::visit::Visit;
use crate::view::choices::Sort;
use crate::view::{Fact, FieldError, fields};
use crate::web::fields::Fields;

/// What a permission lets do: see, and take along.
const PERMITTED: [&str; 4] = ["search", "read", "download", "print"];
/// A membership of the care team that the patient declares ends by itself.
const TEAM_MS: u64 = 365 * 86_400_000;

/// A form that means something.
pub struct Meant {
    /// The change.
    pub change: Change,
    /// The same, by name.
    pub chosen: Vec<Fact>,
    /// Kept from representatives.
    pub secret: bool,
}

struct Reading<'a> {
    portal: &'a Portal,
    visit: &'a Visit,
    form: &'a Fields,
    lang: Lang,
    errors: Vec<FieldError>,
    chosen: Vec<Fact>,
}

impl Portal {
    /// Reads the form of a sort.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::handlers) fn meant(
        &self,
        visit: &Visit,
        known: &Known,
        sort: Sort,
        form: &Fields,
        lang: Lang,
    ) -> Result<Meant, Vec<FieldError>> {
        let (errors, chosen) = (Vec::new(), Vec::new());
        let mut reading = Reading { portal: self, visit, form, lang, errors, chosen };
        let secret = match sort {
            // It ends where it stands.
            Sort::Withdraw => self.is_secret_rule(visit, known, form.text(fields::RULE)),
            _ => form.is_set(fields::SECRET) && super::form::may_hide(visit, known),
        };
        let change = reading.change(sort, known, secret);
        match change {
            Some(change) if reading.errors.is_empty() => Ok(Meant { change, chosen: reading.chosen, secret }),
            _ => Err(reading.errors),
        }
    }
}

impl Portal {
    /// Whether the record that a form withdraws stands under the secret tag.
    fn is_secret_rule(&self, visit: &Visit, known: &Known, value: &str) -> bool {
        let Some(index) = self.rule_index(visit, value) else { return false };
        let secret = known.secret.iter().flat_map(|side| &side.records);
        secret.map(|decided| decided.line.entry.index.get()).any(|own| own == index)
    }
}

impl Reading<'_> {
    fn wrong(&mut self, field: &'static str, fr: &str, en: &str) {
        self.errors.push(FieldError { field, text: pick(self.lang, fr, en).into() });
    }

    fn note(&mut self, fr: &str, en: &str, value: impl Into<crate::view::Text>) {
        self.chosen.push(Fact { name: pick(self.lang, fr, en).into(), value: value.into() });
    }

    fn change(&mut self, sort: Sort, known: &Known, secret: bool) -> Option<Change> {
        match sort {
            Sort::Permit | Sort::Deny => self.directive(sort == Sort::Permit),
            Sort::Mask => self.mask(secret),
            Sort::Block => Some(Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &self.person()?)),
            Sort::Attending => Some(Change::of_professional(Kind::ATTENDING_DECLARED, &self.person()?)),
            Sort::Team => {
                let until = now_ms() + TEAM_MS;
                let details = Details::default().with("professional", self.person()?).with("until", rfc3339(until));
                self.note("Jusqu'au", "Until", spoken_end(until, self.lang));
                Some(Change::with(Kind::CARETEAM_JOINED, details.into_value()))
            }
            Sort::OpposeFeed => self.feed(),
            Sort::OpposeEmergency => self.emergency(),
            Sort::Trusted => self.trusted(),
            Sort::Withdraw => self.withdrawal(known),
            Sort::Close => Some(Change::bare(Kind::SPACE_CLOSED)),
        }
    }

    /// A professional: out of the list, or by number.
    fn person(&mut self) -> Option<ActorName> {
        let value = self.form.text(fields::PERSON);
        if value == fields::OTHER || value.is_empty() {
            let number = self.form.text(fields::NUMBER);
            let checks = Checks { test_log: self.portal.test_log, source: Source::Direct };
            let named = parse(number, Short::Any).and_then(|name| check(&name, checks).map(|_| name));
            let is_number = !number.is_empty() && !number.contains('|') && number != "self";
            return match named {
                Ok(name) if is_number => {
                    self.note("Professionnel", "Professional", number);
                    Some(name)
                }
                _ if value.is_empty() => {
                    self.wrong(fields::PERSON, "Choisissez une personne.", "Choose a person.");
                    None
                }
                _ => {
                    let (fr, en) = ("Écrivez le numéro RPPS : 11 chiffres.", "Write the RPPS number: 11 digits.");
                    self.wrong(fields::NUMBER, fr, en);
                    None
                }
            };
        }
        let bytes = self.portal.opened(self.visit, value);
        let actor = bytes.and_then(|bytes| <v1::Actor as prost::Message>::decode(&bytes[..]).ok());
        let name = actor.as_ref().and_then(|actor| ActorName::spelled(&actor.system, &actor.id).ok());
        match (actor, name) {
            (Some(actor), Some(name)) => {
                self.note("Professionnel", "Professional", short_who(&actor, self.lang));
                Some(name)
            }
            _ => {
                self.wrong(fields::PERSON, "Choisissez une personne de la liste.", "Choose a person of the list.");
                None
            }
        }
    }

    fn structure(&mut self, field: &'static str) -> Option<String> {
        let bytes = self.portal.opened(self.visit, self.form.text(field));
        let structure = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|own| !own.is_empty());
        if structure.is_none() {
            self.wrong(field, "Choisissez dans la liste.", "Choose one of the list.");
        }
        structure
    }

    fn directive(&mut self, permits: bool) -> Option<Change> {
        let grantee = match self.form.text(fields::GRANTEE) {
            fields::STRUCTURE => {
                let structure = self.structure(fields::STRUCTURE)?;
                self.note("Structure", "Organisation", structure.as_str());
                json!({"organisation": structure})
            }
            _ => json!({"professional": self.person()?}),
        };
        let categories = match self.form.text(fields::EXTENT) {
            fields::SOME => {
                let own = self.form.all(fields::CATEGORY);
                let is_known =
                    |token: &String| sillage_words::vocabulary::CATEGORIES.iter().any(|(own, ..)| own == token);
                if own.is_empty() || !own.iter().all(is_known) {
                    let (fr, en) = ("Choisissez au moins une catégorie.", "Choose at least one category.");
                    self.wrong(fields::CATEGORY, fr, en);
                }
                let named: Vec<String> = own.iter().map(|token| category(token, self.lang)).collect();
                self.note("Documents", "Documents", named.join(", "));
                own
            }
            _ => {
                self.note("Documents", "Documents", pick(self.lang, "tous", "all"));
                Vec::new()
            }
        };
        let until = self.until(permits);
        let id = new_id("c").ok()?;
        let details = Details::default()
            .with("id", id)
            .with("effect", if permits { "permit" } else { "deny" })
            .with("grantee", grantee)
            .list("actions", if permits { &PERMITTED[..] } else { &[] })
            .list("categories", &categories)
            .maybe("until", until.map(rfc3339));
        Some(Change::with(Kind::CONSENT_DIRECTIVE, details.into_value()))
    }

    /// The end of the last day, where one is chosen.
    fn until(&mut self, permits: bool) -> Option<u64> {
        if !permits || self.form.text(fields::DURATION) != fields::UNTIL_DAY {
            return None;
        }
        let text = self.form.text(fields::UNTIL);
        let is_day = text.parse::<jiff::civil::Date>().is_ok();
        match parse_end(fields::UNTIL, text).ok().filter(|end| is_day && *end > now_ms()) {
            Some(end) => {
                self.note("Jusqu'au", "Until", spoken_end(end, self.lang));
                Some(end)
            }
            None => {
                let (fr, en) =
                    ("Écrivez un jour à venir, comme 2027-03-02.", "Write a day to come, such as 2027-03-02.");
                self.wrong(fields::UNTIL, fr, en);
                None
            }
        }
    }

    fn mask(&mut self, secret: bool) -> Option<Change> {
        let values = self.form.all(fields::DOCUMENT);
        let items: Vec<v1::Item> = values
            .iter()
            .filter_map(|value| <v1::Item as prost::Message>::decode(&self.portal.opened(self.visit, value)?[..]).ok())
            .collect();
        if items.is_empty() || items.len() != values.len() {
            let (fr, en) =
                ("Choisissez au moins un document de la liste.", "Choose at least one document of the list.");
            self.wrong(fields::DOCUMENT, fr, en);
            return None;
        }
        let named: Vec<String> = items.iter().map(|item| item_name(item, self.lang)).collect();
        self.note("Documents", "Documents", named.join(", "));
        let kind = if secret { Kind::MINOR_SECRECY_SET } else { Kind::ITEM_MASKED };
        Some(Change::of_items(kind, items))
    }

    fn feed(&mut self) -> Option<Change> {
        let source = self.structure(fields::FEED)?;
        let shown = match source == sillage_rules::consent::people::PROFESSIONALS {
            true => pick(self.lang, "tous les professionnels", "every professional").to_owned(),
            false => source.clone(),
        };
        self.note("Source", "Source", shown);
        Some(Change::with(Kind::FEED_OPPOSED, json!({"source": source})))
    }

    fn emergency(&mut self) -> Option<Change> {
        let cases = self.form.all(fields::CASE);
        if cases.is_empty() || !cases.iter().all(|case| ["INCAPACITY", "SAMU", "FIRE"].contains(&case.as_str())) {
            self.wrong(fields::CASE, "Choisissez au moins un cas.", "Choose at least one case.");
            return None;
        }
        let named: Vec<String> = cases.iter().map(|case| sillage_words::decided::case(case, self.lang)).collect();
        self.note("Cas", "Cases", named.join(", "));
        Some(Change::with(Kind::EMERGENCY_OPPOSITION, json!({"cases": cases})))
    }

    /// A trusted person: they have no power before one is needed (`activated`).
    fn trusted(&mut self) -> Option<Change> {
        let text = self.form.text(fields::IDENTIFIER);
        let name = parse(text, Short::Person).ok().filter(|_| !text.is_empty() && text != "self" && text.len() <= 200);
        let Some(name) = name else {
            let (fr, en) = (
                "Écrivez l'identifiant que cette personne lit sur sa page « Mes proches ».",
                "Write the identifier that this person reads on their page “My family”.",
            );
            self.wrong(fields::IDENTIFIER, fr, en);
            return None;
        };
        self.note("Personne de confiance", "Trusted person", name.id());
        let details = Details::default()
            .with("representative", name)
            .with("relation", "TRUSTED_PERSON")
            .list("powers", &["read"]);
        Some(Change::with(Kind::REPRESENTATION_REGISTERED, details.into_value()))
    }

    /// What ends that a record says.
    fn withdrawal(&mut self, known: &Known) -> Option<Change> {
        let index = self.portal.rule_index(self.visit, self.form.text(fields::RULE));
        let mut all = known.sides().flat_map(|(side, _)| &side.records);
        let decided = all.find(|decided| Some(decided.line.entry.index.get()) == index);
        let event = decided.and_then(|decided| decided.event.as_ref()).map(|(event, _)| event);
        let items = |ids: &[String]| {
            ids.iter().map(|id| v1::Item { id: id.clone(), ..v1::Item::default() }).collect::<Vec<v1::Item>>()
        };
        let change = match event {
            Some(Event::Directive(directive)) => Change::with(Kind::CONSENT_REVOKED, json!({"consent": directive.id})),
            Some(Event::Blocked { professional }) => {
                Change::of_professional(Kind::PROFESSIONAL_UNBLOCKED, professional)
            }
            Some(Event::Masked { items: ids }) => Change::of_items(Kind::ITEM_UNMASKED, items(ids)),
            Some(Event::SecrecySet { items: ids }) => Change::of_items(Kind::MINOR_SECRECY_LIFTED, items(ids)),
            Some(Event::EmergencyOpposed { cases }) => {
                Change::with(Kind::EMERGENCY_OPPOSITION_LIFTED, json!({"cases": cases}))
            }
            Some(Event::FeedOpposed(feed)) => Change::with(
                Kind::FEED_OPPOSITION_LIFTED,
                Details::default().with("source", &feed.source).maybe("category", feed.category.as_ref()).into_value(),
            ),
            Some(Event::Represented(own)) => {
                Change::with(Kind::REPRESENTATION_ENDED, json!({"representative": own.representative}))
            }
            Some(Event::Joined(own)) => Change::of_professional(Kind::CARETEAM_LEFT, &own.professional),
            Some(Event::AttendingDeclared { professional }) => {
                Change::of_professional(Kind::ATTENDING_ENDED, professional)
            }
            Some(Event::SpaceClosed | Event::SpaceOpposed) => Change::bare(Kind::SPACE_OPENED),
            _ => {
                let (fr, en) = ("Ce choix ne peut pas être retiré ici.", "This choice can't be withdrawn here.");
                self.wrong(fields::RULE, fr, en);
                return None;
            }
        };
        Some(change)
    }
}
