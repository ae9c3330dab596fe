//! Help, and the declaration of accessibility.

use maud::{Markup, html};

use super::layout::{Content, Section, page};
use super::parts::{Tone, notice};
use crate::view::Chrome;
use crate::words::{common, help as w};

/// Words and steps, explained.
pub fn help(chrome: &Chrome) -> Markup {
    let lang = chrome.lang;
    let title = common::HELP.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        @if let Some(help) = &chrome.help { (notice(Tone::Note, html! { p { (common::HELP_HEAD.of(lang)) " " strong { (help) } } })) }
        @for (question, answer) in w::ANSWERS {
            section { h2 { (question.of(lang)) } p { (answer.of(lang)) } }
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

/// The declaration of accessibility.
pub fn accessibility(chrome: &Chrome) -> Markup {
    let lang = chrome.lang;
    let title = w::ACCESSIBILITY.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::DECLARED.of(lang)) }
        @for text in [w::CHECKED, w::NOT_CHECKED, w::REPORT] { p { (text.of(lang)) } }
        @if let Some(help) = &chrome.help { p { strong { (help) } } }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}
