//! « Qui peut accéder ? », now or as of a day.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Tone, error_summary, notice, sentences, submit};
use crate::view::access::AccessView;
use crate::view::{Chrome, FieldError, fields};
use crate::words::{access as w, common, dates};

/// The page.
pub fn access(chrome: &Chrome, view: &AccessView) -> Markup {
    let lang = chrome.lang;
    let title = common::ACCESS.of(lang);
    let errors = view.error.as_slice();
    let main = html! {
        (error_summary(errors, lang))
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        p class="remark" {
            (w::AS_OF.of(lang)) " "
            @match view.day { Some(day) => strong { (dates::day(day, lang)) }, None => (view.as_of) }
            "."
        }
        @if let Some(space) = &view.space { (notice(Tone::Warning, html! { p { (space) } })) }
        section aria-labelledby="peuvent" {
            h2 id="peuvent" { (w::MAY.of(lang)) }
            @if view.may.is_empty() { p { (w::NOBODY.of(lang)) } } @else { (sentences(&view.may)) }
        }
        @if !view.may_not.is_empty() {
            section aria-labelledby="ne-peuvent-pas" {
                h2 id="ne-peuvent-pas" { (w::MAY_NOT.of(lang)) }
                (sentences(&view.may_not))
            }
        }
        p { a class="button" href="/choix" { (w::CHANGE.of(lang)) } }
        (other_day(view, errors, lang))
        @if !view.notes.is_empty() {
            details { summary { (w::LIMITS.of(lang)) } (sentences(&view.notes)) }
        }
    };
    let title = if errors.is_empty() { title } else { common::erroneous(&title, lang) };
    page(chrome, &Content::narrow(title, Section::Access, main))
}

fn other_day(view: &AccessView, errors: &[FieldError], lang: Lang) -> Markup {
    let field =
        Labelled { field: fields::AS_OF, label: w::DAY.of(lang), hint: Some(w::DAY_HINT.of(lang)), errors, lang };
    html! {
        section aria-labelledby="autre-jour" {
            h2 id="autre-jour" { (w::OTHER_DAY.of(lang)) }
            form method="get" action="/acces" {
                (field.day(&view.typed))
                div class="buttons" {
                    (submit(&w::SHOW.of(lang)))
                    @if view.day.is_some() { a href="/acces" { (w::NOW.of(lang)) } }
                }
            }
        }
    }
}
