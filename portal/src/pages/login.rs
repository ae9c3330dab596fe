//! Pages of the login process: the choice of a demonstration patient, and why a login failed.

use jiff::civil::Date;
use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Options, Tone, fact, hidden, notice, submit};
use crate::view::login::{ChooseView, ConfirmView, LoginFailedView};
use crate::view::{Chrome, fields};
use crate::words::{Phrase, dates, login as w, problem};

/// The choice of a demonstration patient, in a test log.
pub fn choose(chrome: &Chrome, view: &ChooseView) -> Markup {
    let lang = chrome.lang;
    let title = w::CHOOSE.of(lang);
    let field = Labelled { field: fields::PERSON, label: w::CHOOSE_LABEL.of(lang), hint: None, errors: &[], lang };
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::CHOOSE_LEAD.of(lang)) }
        form method="post" action=(view.action) {
            (hidden(&view.hidden))
            (field.options(Options::One, &view.patients, |_| html! {}))
            (submit(&w::ENTER.of(lang)))
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

/// The question whether an INS is theirs, once for each account.
pub fn confirm(chrome: &Chrome, view: &ConfirmView) -> Markup {
    let lang = chrome.lang;
    let title = w::CONFIRM.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::CONFIRM_LEAD.of(lang)) }
        dl class="facts" {
            (fact(&w::CONFIRM_NAME.of(lang), &view.name))
            (fact(&w::CONFIRM_BIRTH.of(lang), birth(view, lang)))
            (fact(&w::CONFIRM_ENDING.of(lang), &view.ending))
        }
        (notice(Tone::Note, html! { p { (w::CONFIRM_WHERE.of(lang)) } }))
        form method="post" action=(view.action) {
            (hidden(&view.hidden))
            div class="buttons" {
                (submit(&w::CONFIRM_YES.of(lang)))
                a href=(view.again) { (w::CONFIRM_NO.of(lang)) }
            }
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

/// The day of birth in words. A provider may know the year alone, or the month (`1979-03-00`): then as it wrote it.
fn birth(view: &ConfirmView, lang: Lang) -> Phrase {
    let text = view.birthdate.as_str();
    text.parse::<Date>().map_or_else(|_| Phrase::from(text.to_owned()), |day| dates::day(day, lang))
}

/// A login that failed, and what to do.
pub fn failed(chrome: &Chrome, view: &LoginFailedView) -> Markup {
    let lang = chrome.lang;
    let (title, why, advice) = w::problem(view.problem);
    let main = html! {
        h1 { (title.of(lang)) }
        p class="lead" { (why.of(lang)) }
        (notice(Tone::Note, html! { p { (advice.of(lang)) } }))
        p { (w::NOTHING_DONE.of(lang)) }
        p { a class="button" href=(view.again) { (w::AGAIN.of(lang)) } }
        @if let Some(reference) = &view.reference {
            p class="remark" { (problem::REFERENCE.of(lang)) " " code { (reference) } }
        }
    };
    page(chrome, &Content::narrow(title.of(lang), Section::Other, main))
}
