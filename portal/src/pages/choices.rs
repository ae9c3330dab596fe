//! « Mes choix »: what holds, and what can be decided.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, notice, unseen};
use crate::view::Chrome;
use crate::view::choices::{ChoicesView, Held, Sort};
use crate::words::{Both, choices as w, common};

/// Sorts under their heads.
const HEADS: [(Both, &[Sort]); 4] = [
    (w::GIVE, &[Sort::Permit, Sort::Team, Sort::Attending]),
    (w::LIMIT, &[Sort::Block, Sort::Mask, Sort::Deny, Sort::OpposeFeed, Sort::OpposeEmergency]),
    (w::PEOPLE, &[Sort::Trusted]),
    (w::WHOLE_SPACE, &[Sort::Close]),
];

/// The page.
pub fn choices(chrome: &Chrome, view: &ChoicesView) -> Markup {
    let lang = chrome.lang;
    let title = common::CHOICES.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        @if let Some(why) = &view.unavailable { (notice(Tone::Warning, html! { p { (why) } })) }
        section aria-labelledby="en-vigueur" {
            h2 id="en-vigueur" { (w::HELD.of(lang)) }
            @if view.held.is_empty() { p { (w::NONE_HELD.of(lang)) } } @else {
                ul class="held" { @for one in &view.held { (held(one, lang)) } }
            }
        }
        @if view.unavailable.is_none() { (new(lang)) }
    };
    page(chrome, &Content::wide(title, Section::Choices, main))
}

fn held(held: &Held, lang: Lang) -> Markup {
    html! {
        li {
            h3 { (w::name(held.sort).of(lang)) }
            p { (held.sentence) }
            p class="remark" {
                @for note in &held.notes { (note) " · " }
                a href={ "/trace/" (held.index) } { (w::RECORDED_AS.of(lang)) " " (held.index) }
            }
            @if held.secret { p { span class="badge is-plain" { (w::SECRET.of(lang)) } } }
            @if let Some(path) = &held.withdraw {
                p { a href=(path) { (w::WITHDRAW.of(lang)) (unseen(w::of_choice(held.index, lang))) } }
            }
        }
    }
}

fn new(lang: Lang) -> Markup {
    html! {
        section aria-labelledby="faire-un-choix" {
            h2 id="faire-un-choix" { (w::NEW.of(lang)) }
            div class="sorts" {
                @for (head, sorts) in HEADS {
                    div {
                        h3 { (head.of(lang)) }
                        ul {
                            @for sort in sorts {
                                li {
                                    a href={ "/choix/" (sort.slug()) } { (w::name(*sort).of(lang)) }
                                    p class="remark" { (w::explained(*sort).of(lang)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
