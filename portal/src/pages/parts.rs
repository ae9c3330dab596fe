//! Parts that several pages share: badges, facts, notices, errors, fields of forms.

use jiff::civil::Date;
use maud::{Markup, Render, html};
use sillage_words::Lang;

use crate::view::trace::Badge;
use crate::view::{Choice, Chrome, Fact, FieldError, Hidden, Text, fields};
use crate::words::{Phrase, common};

/// The token against forged forms; nothing without a session.
pub fn csrf(chrome: &Chrome) -> Markup {
    html! { @if !chrome.csrf.is_empty() { input type="hidden" name=(fields::CSRF) value=(chrome.csrf); } }
}

/// Fields that a form carries on.
pub fn hidden(all: &[Hidden]) -> Markup {
    html! { @for one in all { input type="hidden" name=(one.name) value=(one.value); } }
}

/// A link back, above the heading.
pub fn back(path: &str, text: &Phrase) -> Markup {
    html! { p class="back" { a href=(path) { (text) } } }
}

/// Text that only screen readers say.
pub fn unseen(text: impl Render) -> Markup {
    html! { span class="unseen" { (text) } }
}

/// Badges as a list; nothing where there are none.
pub fn badges(all: &[Badge], lang: Lang) -> Markup {
    html! {
        @if !all.is_empty() {
            ul class="badges" { @for badge in all { li class={ "badge " (class_of(*badge)) } { (common::badge(*badge).of(lang)) } } }
        }
    }
}

/// The style of a badge. The words carry the meaning; the colour repeats it.
pub fn class_of(badge: Badge) -> &'static str {
    match badge {
        Badge::New => "is-new",
        Badge::Emergency => "is-emergency",
        Badge::OutsideTeam | Badge::Unjustified => "is-warning",
        Badge::Refused | Badge::RecordedLate | Badge::Voided | Badge::Secret => "is-plain",
    }
}

/// Names with what is so named.
pub fn facts(all: &[Fact]) -> Markup {
    html! { dl class="facts" { @for fact in all { div { dt { (fact.name) } dd { (fact.value) } } } } }
}

/// A row of facts whose name is a text of ours.
pub fn fact(name: &Phrase, value: impl Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A row of facts whose value is made for machines: hashes and names of logs.
pub fn code_fact(name: &Phrase, value: &Text) -> Markup {
    html! { div { dt { (name) } dd { code translate="no" { (value) } } } }
}

/// Sentences as a list.
pub fn sentences(all: &[Text]) -> Markup {
    html! { ul class="sentences" { @for one in all { li { (one) } } } }
}

/// A kind of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something to know.
    Note,
    /// Something to think of before going on.
    Warning,
    /// Something that doesn't hold.
    Alarm,
    /// Something that was checked and holds.
    Good,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Note => "notice",
            Self::Warning => "notice is-warning",
            Self::Alarm => "notice is-alarm",
            Self::Good => "notice is-good",
        }
    }
}

/// A notice, with what is in it.
pub fn notice(tone: Tone, inside: impl Render) -> Markup {
    html! { div class=(tone.class()) { (inside) } }
}

/// The summary of errors at the top of a form; each links to its field. Nothing where there are none.
pub fn error_summary(errors: &[FieldError], lang: Lang) -> Markup {
    html! {
        @if !errors.is_empty() {
            div class="error-summary" role="alert" aria-labelledby="problemes" {
                h2 id="problemes" { (common::PROBLEM.of(lang)) }
                ul { @for error in errors { li { a href={ "#" (error.field) } { (error.text) } } } }
            }
        }
    }
}

fn error_of<'e>(field: &str, errors: &'e [FieldError]) -> Option<&'e FieldError> {
    errors.iter().find(|error| error.field == field)
}

/// The error that stands at its field.
fn error(field: &str, errors: &[FieldError], lang: Lang) -> Markup {
    html! {
        @if let Some(error) = error_of(field, errors) {
            p class="error" id={ (field) "-erreur" } { (unseen(common::ERROR.of(lang))) " " (error.text) }
        }
    }
}

/// The ids of what describes a field: its hint and its error.
fn described_by(field: &str, has_hint: bool, errors: &[FieldError]) -> Option<String> {
    let hint = has_hint.then(|| format!("{field}-aide"));
    let error = error_of(field, errors).map(|_| format!("{field}-erreur"));
    let ids: Vec<String> = hint.into_iter().chain(error).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// A field of a form: its name, its label, its hint.
#[derive(Debug, Clone)]
pub struct Labelled<'a> {
    /// Name and id.
    pub field: &'static str,
    /// Label.
    pub label: Phrase,
    /// Hint below the label.
    pub hint: Option<Phrase>,
    /// Errors of the whole form.
    pub errors: &'a [FieldError],
    /// Language of the page.
    pub lang: Lang,
}

impl Labelled<'_> {
    fn class(&self) -> &'static str {
        if error_of(self.field, self.errors).is_some() { "field has-error" } else { "field" }
    }

    fn describes(&self) -> Markup {
        html! {
            @if let Some(hint) = &self.hint { p class="hint" id={ (self.field) "-aide" } { (hint) } }
            (error(self.field, self.errors, self.lang))
        }
    }

    fn described_by(&self) -> Option<String> {
        described_by(self.field, self.hint.is_some(), self.errors)
    }

    fn invalid(&self) -> Option<&'static str> {
        error_of(self.field, self.errors).map(|_| "true")
    }

    /// A line of text. `mode` is a hint for the keyboard of a phone, `max` the most characters.
    pub fn text(&self, value: &str, mode: &str, max: u32) -> Markup {
        html! {
            div class=(self.class()) {
                label for=(self.field) { (self.label) }
                (self.describes())
                input type="text" id=(self.field) name=(self.field) value=(Text::from(value)) inputmode=(mode) maxlength=(max)
                    autocomplete="off" spellcheck="false" aria-describedby=[self.described_by()] aria-invalid=[self.invalid()];
            }
        }
    }

    /// A day. A value that is none isn't shown again: a browser shows no other.
    pub fn day(&self, value: &str) -> Markup {
        let value = value.parse::<Date>().map(|day| day.to_string()).unwrap_or_default();
        html! {
            div class=(self.class()) {
                label for=(self.field) { (self.label) }
                (self.describes())
                input type="date" id=(self.field) name=(self.field) value=(value) min="1900-01-01" max="2199-12-31"
                    aria-describedby=[self.described_by()] aria-invalid=[self.invalid()];
            }
        }
    }

    /// A file, which a script reads. Nothing is sent.
    pub fn file(&self) -> Markup {
        html! {
            div class=(self.class()) {
                label for=(self.field) { (self.label) }
                (self.describes())
                input type="file" id=(self.field) aria-describedby=[self.described_by()];
            }
        }
    }

    /// Several lines of text.
    pub fn area(&self, value: &str) -> Markup {
        html! {
            div class=(self.class()) {
                label for=(self.field) { (self.label) }
                (self.describes())
                textarea id=(self.field) name=(self.field) rows="6" spellcheck="true"
                    aria-describedby=[self.described_by()] aria-invalid=[self.invalid()] { (Text::from(value)) }
            }
        }
    }

    /// One of a list; the first entry stands for none.
    pub fn select(&self, none: &Phrase, choices: &[Choice]) -> Markup {
        html! {
            div class=(self.class()) {
                label for=(self.field) { (self.label) }
                (self.describes())
                select id=(self.field) name=(self.field) aria-describedby=[self.described_by()] aria-invalid=[self.invalid()] {
                    option value="" selected[choices.iter().all(|choice| !choice.chosen)] { (none) }
                    @for choice in choices {
                        option value=(choice.value) selected[choice.chosen] {
                            (choice.label) @if !choice.hint.is_empty() { " – " (choice.hint) }
                        }
                    }
                }
            }
        }
    }

    /// Boxes or dots under one legend. The first has the field's id, so that the summary of errors leads there.
    pub fn options(&self, kind: Options, choices: &[Choice], after: impl Fn(&Choice) -> Markup) -> Markup {
        html! {
            fieldset class=(self.class()) aria-describedby=[self.described_by()] {
                legend { (self.label) }
                (self.describes())
                @for (at, choice) in choices.iter().enumerate() {
                    @let id = if at == 0 { self.field.to_owned() } else { format!("{}-{at}", self.field) };
                    @let hint = (!choice.hint.is_empty()).then(|| format!("{id}-precision"));
                    div class="option" {
                        input type=(kind.as_str()) id=(id) name=(self.field) value=(choice.value) checked[choice.chosen]
                            aria-describedby=[hint.as_deref()];
                        label for=(id) { (choice.label) }
                        @if let Some(hint) = &hint { p class="hint" id=(hint) { (choice.hint) } }
                    }
                    (after(choice))
                }
            }
        }
    }
}

/// The kind of a group of options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    /// One of them.
    One,
    /// Several of them.
    Several,
}

impl Options {
    fn as_str(self) -> &'static str {
        match self {
            Self::One => "radio",
            Self::Several => "checkbox",
        }
    }
}

/// A single box with its label.
pub fn tick(field: &str, label: &Phrase, hint: Option<&Phrase>, is_ticked: bool) -> Markup {
    html! {
        div class="option" {
            input type="checkbox" id=(field) name=(field) value=(fields::YES) checked[is_ticked]
                aria-describedby=[hint.map(|_| format!("{field}-precision"))];
            label for=(field) { (label) }
            @if let Some(hint) = hint { p class="hint" id={ (field) "-precision" } { (hint) } }
        }
    }
}

/// The button that sends a form.
pub fn submit(text: &Phrase) -> Markup {
    html! { button class="button" type="submit" { (text) } }
}
