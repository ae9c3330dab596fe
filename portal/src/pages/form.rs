//! The form of each sort of choice. Nothing is signed by it: it leads to the preview.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Options, Tone, back, csrf, error_summary, hidden, notice, submit, tick};
use crate::view::choices::{FormView, Sort};
use crate::view::{Choice, Chrome, Text, fields};
use crate::words::{Both, Phrase, choices as w, common};

/// The page.
pub fn form(chrome: &Chrome, view: &FormView) -> Markup {
    let lang = chrome.lang;
    let title = w::name(view.sort).of(lang);
    let form = Form { view, lang };
    let main = html! {
        (back("/choix", &w::ALL.of(lang)))
        (error_summary(&view.errors, lang))
        h1 { (title) }
        p class="lead" { (w::explained(view.sort).of(lang)) }
        @if !matches!(view.sort, Sort::Withdraw | Sort::Close) { p class="remark" { (w::ANSWER_ALL.of(lang)) } }
        form method="post" action="/choix/apercu" {
            (csrf(chrome))
            input type="hidden" name=(fields::SORT) value=(view.sort.slug());
            (hidden(&view.hidden))
            (form.fields())
            @if view.may_hide { (form.secrecy()) }
            div class="buttons" {
                (submit(&w::SEE_EFFECT.of(lang)))
                a href="/choix" { (common::CANCEL.of(lang)) }
            }
            p class="remark" { (w::NOTHING_YET.of(lang)) }
        }
    };
    let title = if view.errors.is_empty() { title } else { common::erroneous(&title, lang) };
    page(chrome, &Content::narrow(title, Section::Choices, main))
}

struct Form<'a> {
    view: &'a FormView,
    lang: Lang,
}

impl Form<'_> {
    fn fields(&self) -> Markup {
        match self.view.sort {
            Sort::Permit => html! { (self.grantee()) (self.extent()) (self.duration()) },
            Sort::Deny => html! { (self.grantee()) (self.extent()) },
            Sort::Block | Sort::Attending | Sort::Team => self.person(w::PERSON),
            Sort::Mask => self.documents(),
            Sort::OpposeFeed => self.one_of(fields::FEED, w::FEED, &self.view.offered.feeds),
            Sort::OpposeEmergency => self.several_of(fields::CASE, w::CASES, &self.view.offered.cases),
            Sort::Trusted => self.identifier(),
            Sort::Withdraw => self.rule(),
            Sort::Close => notice(Tone::Note, html! { p { (w::CLOSE_ASSURED.of(self.lang)) } }),
        }
    }

    fn field(&self, field: &'static str, label: Both, hint: Option<Both>) -> Labelled<'_> {
        Labelled {
            field,
            label: label.of(self.lang),
            hint: hint.map(|hint| hint.of(self.lang)),
            errors: &self.view.errors,
            lang: self.lang,
        }
    }

    fn value(&self, field: &str) -> &str {
        self.view.values.one(field)
    }

    /// Choices with those ticked that were chosen before.
    fn chosen(&self, field: &str, choices: &[Choice]) -> Vec<Choice> {
        let as_before = |choice: &Choice| {
            let chosen = choice.chosen || self.view.values.has(field, &choice.value);
            Choice { chosen, ..choice.clone() }
        };
        choices.iter().map(as_before).collect()
    }

    /// Choices of ours; of one that was never answered, the first is chosen.
    fn ours(&self, field: &str, all: &[(&str, Both)]) -> Vec<Choice> {
        let known = |value: &&str| all.iter().any(|(one, _)| one == value);
        let now = Some(self.value(field)).filter(known).unwrap_or(all.first().map_or("", |(value, _)| value));
        let choice = |(value, label): &(&str, Both)| Choice {
            value: (*value).to_owned(),
            label: Text::from(label.of(self.lang).as_str()),
            hint: Text::default(),
            chosen: *value == now,
        };
        all.iter().map(choice).collect()
    }

    /// A professional out of the list, or by number.
    fn person(&self, label: Both) -> Markup {
        let mut people = self.chosen(fields::PERSON, &self.view.offered.people);
        let other = Choice {
            value: fields::OTHER.to_owned(),
            label: Text::from(w::OTHER_PERSON.of(self.lang).as_str()),
            hint: Text::default(),
            chosen: people.is_empty() || self.view.values.has(fields::PERSON, fields::OTHER),
        };
        people.push(other);
        let number = |choice: &Choice| {
            html! {
                @if choice.value == fields::OTHER {
                    div class="option-more" {
                        (self.field(fields::NUMBER, w::NUMBER, Some(w::NUMBER_HINT)).text(self.value(fields::NUMBER), "numeric", 20))
                    }
                }
            }
        };
        self.field(fields::PERSON, label, Some(w::PERSON_HINT)).options(Options::One, &people, number)
    }

    /// A person or a structure.
    fn grantee(&self) -> Markup {
        let structures = self.chosen(fields::STRUCTURE, &self.view.offered.structures);
        if structures.is_empty() {
            return html! {
                input type="hidden" name=(fields::GRANTEE) value=(fields::PERSON);
                (self.person(w::PERSON))
            };
        }
        let all = [(fields::PERSON, w::GRANTEE_PERSON), (fields::STRUCTURE, w::GRANTEE_STRUCTURE)];
        let more = |choice: &Choice| {
            html! {
                div class="option-more" {
                    @if choice.value == fields::PERSON { (self.person(w::PERSON)) } @else {
                        (self.field(fields::STRUCTURE, w::STRUCTURE, None).select(&w::CHOOSE.of(self.lang), &structures))
                    }
                }
            }
        };
        self.field(fields::GRANTEE, w::GRANTEE, None).options(Options::One, &self.ours(fields::GRANTEE, &all), more)
    }

    fn extent(&self) -> Markup {
        let categories = self.chosen(fields::CATEGORY, &self.view.offered.categories);
        let all = [(fields::WHOLE, w::WHOLE), (fields::SOME, w::SOME)];
        let more = |choice: &Choice| {
            html! {
                @if choice.value == fields::SOME {
                    div class="option-more" {
                        (self.field(fields::CATEGORY, w::CATEGORIES, None).options(Options::Several, &categories, nothing))
                    }
                }
            }
        };
        self.field(fields::EXTENT, w::EXTENT, None).options(Options::One, &self.ours(fields::EXTENT, &all), more)
    }

    fn duration(&self) -> Markup {
        let all = [(fields::ALWAYS, w::ALWAYS), (fields::UNTIL_DAY, w::UNTIL)];
        let more = |choice: &Choice| {
            html! {
                @if choice.value == fields::UNTIL_DAY {
                    div class="option-more" {
                        (self.field(fields::UNTIL, w::UNTIL_DAY, Some(w::UNTIL_HINT)).day(self.value(fields::UNTIL)))
                    }
                }
            }
        };
        self.field(fields::DURATION, w::DURATION, None).options(Options::One, &self.ours(fields::DURATION, &all), more)
    }

    fn documents(&self) -> Markup {
        if self.view.offered.documents.is_empty() {
            return notice(Tone::Note, html! { p { (w::NO_DOCUMENT.of(self.lang)) } });
        }
        self.several_of(fields::DOCUMENT, w::DOCUMENT, &self.view.offered.documents)
    }

    fn one_of(&self, field: &'static str, label: Both, choices: &[Choice]) -> Markup {
        self.field(field, label, None).options(Options::One, &self.chosen(field, choices), nothing)
    }

    fn several_of(&self, field: &'static str, label: Both, choices: &[Choice]) -> Markup {
        self.field(field, label, None).options(Options::Several, &self.chosen(field, choices), nothing)
    }

    fn identifier(&self) -> Markup {
        let value = self.value(fields::IDENTIFIER);
        self.field(fields::IDENTIFIER, w::IDENTIFIER, Some(w::IDENTIFIER_HINT)).text(value, "text", 200)
    }

    fn rule(&self) -> Markup {
        html! {
            @if let Some(rule) = &self.view.rule {
                div class="story" { p { strong { (w::WITHDRAWN_RULE.of(self.lang)) } } p { (rule) } }
            }
        }
    }

    /// Facts that a minor must know before they hide something, and then the box.
    fn secrecy(&self) -> Markup {
        let hide: Phrase = w::HIDE.of(self.lang);
        html! {
            fieldset class="field" {
                legend { (w::HIDE_HEAD.of(self.lang)) }
                ul class="sentences" { @for fact in w::HIDE_FACTS { li { (fact.of(self.lang)) } } }
                (tick(fields::SECRET, &hide, None, self.view.values.has(fields::SECRET, fields::YES)))
            }
        }
    }
}

fn nothing(_: &Choice) -> Markup {
    html! {}
}
