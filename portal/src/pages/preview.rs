//! The effect of a choice before it is signed, and its confirmation once it is on record.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, csrf, facts, hidden, notice, sentences};
use crate::view::choices::{DoneView, PreviewView, Sort};
use crate::view::{Chrome, Text, fields};
use crate::words::{Both, choices as w, common};

/// The preview. Its form carries the id of the record, so that whoever confirms twice records once.
pub fn preview(chrome: &Chrome, view: &PreviewView) -> Markup {
    let lang = chrome.lang;
    let title = w::PREVIEW.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::NOTHING_YET.of(lang)) }
        form method="post" action="/choix/confirmer" {
            (csrf(chrome))
            input type="hidden" name=(fields::SORT) value=(view.sort.slug());
            (hidden(&view.hidden))
            h2 { (w::CHOSEN.of(lang)) }
            p { strong { (w::name(view.sort).of(lang)) } }
            @if !view.chosen.is_empty() { (facts(&view.chosen)) }
            @if let Some(later) = &view.later { p { (w::LATER.of(lang)) " " strong { (later) } "." } }
            (effects(view, lang))
            @if !view.stays.is_empty() {
                section aria-labelledby="reste" { h2 id="reste" { (w::STAYS.of(lang)) } (sentences(&view.stays)) }
            }
            (warnings(view, lang))
            div class="buttons" {
                button class=(button_of(view.sort)) type="submit" {
                    @if view.seen_by_representatives { (notice(Tone::Warning, html! { p { (w::WILL_BE_SEEN.of(lang)) } })) }
        @if view.login_again { (w::CONFIRM_LOGIN.of(lang)) } @else { (w::CONFIRM.of(lang)) }
                }
                button class="button is-second" type="submit" formaction={ "/choix/" (view.sort.slug()) } { (w::CHANGE.of(lang)) }
                a href="/choix" { (common::CANCEL.of(lang)) }
            }
        }
    };
    page(chrome, &Content::narrow(title, Section::Choices, main))
}

fn button_of(sort: Sort) -> &'static str {
    if sort == Sort::Close { "button is-grave" } else { "button" }
}

fn effects(view: &PreviewView, lang: Lang) -> Markup {
    let effect = |class: &str, id: &str, head: Both, all: &[Text]| {
        html! {
            section class=(class) aria-labelledby=(id) { h2 id=(id) { (head.of(lang)) } (sentences(all)) }
        }
    };
    html! {
        @if view.gains.is_empty() && view.losses.is_empty() { (notice(Tone::Note, html! { p { (w::NO_EFFECT.of(lang)) } })) } @else {
            div class="effects" {
                @if !view.gains.is_empty() { (effect("effect", "ouvre", w::GAINS, &view.gains)) }
                @if !view.losses.is_empty() { (effect("effect is-loss", "ferme", w::LOSSES, &view.losses)) }
            }
        }
    }
}

/// Article 8 of the EHDS: whoever restricts is told that care may suffer, and that providers don't see that a restriction exists.
fn warnings(view: &PreviewView, lang: Lang) -> Markup {
    html! {
        @if view.sort.may_harm_care() {
            (notice(Tone::Warning, html! {
                p { strong { (common::IMPORTANT.of(lang)) } }
                p { (w::HARM.of(lang)) " " (w::HARM_HIDDEN.of(lang)) }
            }))
        }
        @if view.secret { (notice(Tone::Note, html! { p { (w::WILL_BE_SECRET.of(lang)) } })) }
        @if view.login_again { (notice(Tone::Note, html! { p { (w::LOGIN_AGAIN.of(lang)) } })) }
    }
}

/// The confirmation, with number and receipt.
pub fn done(chrome: &Chrome, view: &DoneView) -> Markup {
    let lang = chrome.lang;
    let title = w::DONE.of(lang);
    let main = html! {
        div class="done" {
            h1 { (title) }
            p class="done-number" { (w::numbered(view.index, lang)) }
        }
        div class="story" { p { (view.sentence) } }
        @if view.again { (notice(Tone::Note, html! { p { (w::DONE_AGAIN.of(lang)) } })) }
        p { (w::RECORDED.of(lang)) " " (view.recorded) "." }
        ul class="files" {
            li { a href={ "/trace/" (view.index) } { (w::LINE.of(lang)) } }
            li { a href="/choix" { (w::ALL.of(lang)) } }
            @if let Some(path) = &view.undo { li { a href=(path) { (w::UNDO.of(lang)) } } }
        }
        @if !view.receipt.is_empty() {
            section aria-labelledby="accuse" {
                h2 id="accuse" { (w::RECEIPT.of(lang)) }
                p { (w::RECEIPT_HELP.of(lang)) }
                (facts(&view.receipt))
                @if let Some(path) = &view.download { p { a href=(path) download { (w::RECEIPT_FILE.of(lang)) } } }
            }
        }
    };
    page(chrome, &Content::narrow(title, Section::Choices, main))
}
