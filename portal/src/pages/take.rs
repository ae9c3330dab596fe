//! « Emporter et vérifier »: files, paper, and the policy that a verification rests on.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, code_fact, fact, notice};
use crate::view::Chrome;
use crate::view::take::{File, LogFacts, TakeView};
use crate::words::{common, counted, dates, take as w, trace};

/// The page.
pub fn take(chrome: &Chrome, view: &TakeView) -> Markup {
    let lang = chrome.lang;
    let title = common::TAKE.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        section aria-labelledby="verifier" {
            h2 id="verifier" { (w::CHECK_HEAD.of(lang)) }
            p { (w::CHECK_HELP.of(lang)) }
            p { a class="button" href="/verifier" { (w::CHECK.of(lang)) } }
        }
        section aria-labelledby="telecharger" {
            h2 id="telecharger" { (w::FILES_HEAD.of(lang)) }
            @if chrome.kiosk { (notice(Tone::Note, html! { p { (w::KIOSK.of(lang)) } })) } @else {
                ul class="files" { @for one in &view.files { (file(one, lang)) } }
            }
        }
        section aria-labelledby="imprimer" {
            h2 id="imprimer" { (w::PRINT_HEAD.of(lang)) }
            p { (w::PRINT_HELP.of(lang)) }
            p { a class="button is-second" href=(view.print) { (w::PRINT.of(lang)) } }
        }
        section aria-labelledby="confiance" {
            h2 id="confiance" { (w::POLICY_HEAD.of(lang)) }
            p { (w::POLICY_HELP.of(lang)) }
            (log_facts(Some(view.lines), &view.log, lang))
        }
    };
    page(chrome, &Content::narrow(title, Section::Take, main))
}

/// A file: name, format and size stand in its link.
fn file(file: &File, lang: Lang) -> Markup {
    html! {
        li {
            a href=(file.path) download { (w::file(file.kind).of(lang)) " (" (w::file_words(file.kind, file.bytes, lang)) ")" }
            p class="remark" { (w::file_help(file.kind).of(lang)) }
        }
    }
}

/// The log as paper and files name it.
pub(super) fn log_facts(lines: Option<usize>, log: &LogFacts, lang: Lang) -> Markup {
    html! {
        dl class="facts" {
            @if let Some(lines) = lines { (fact(&w::LINES.of(lang), dates::number(u64::try_from(lines).unwrap_or(u64::MAX), lang))) }
            (code_fact(&trace::LOG.of(lang), &log.log))
            (fact(&trace::SIZE.of(lang), counted(log.size, trace::ENTRY, lang)))
            (fact(&trace::AS_OF.of(lang), &log.as_of))
            (code_fact(&trace::ROOT.of(lang), &log.root))
            (code_fact(&w::POLICY.of(lang), &log.policy))
            @if !log.published.is_empty() {
                (fact(&w::PUBLISHED.of(lang), html! { ul { @for place in &log.published { li { (place) } } } }))
            }
        }
    }
}
