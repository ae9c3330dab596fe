//! The trace on paper: every line, with what it takes to check it.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{back, unseen};
use super::take::log_facts;
use super::trace::said;
use crate::view::Chrome;
use crate::view::take::PrintView;
use crate::view::trace::Day;
use crate::words::{common, dates, take as w};

/// The page.
pub fn print(chrome: &Chrome, view: &PrintView) -> Markup {
    let lang = chrome.lang;
    let title = w::PRINT_TITLE.of(lang);
    let main = html! {
        (back("/emporter", &common::TAKE.of(lang)))
        h1 { (title) }
        p class="screen-only lead" { (w::PRINT_HOW.of(lang)) }
        p { (w::PRINT_OF.of(lang)) " " strong { (view.name) } ". " (w::PRINTED.of(lang)) " " (view.printed) "." }
        section aria-labelledby="papier" {
            h2 id="papier" { (w::PAPER_CHECK.of(lang)) }
            (log_facts(Some(view.lines), &view.log, lang))
            ol class="sentences" { @for step in w::PAPER_STEPS { li { (step.of(lang)) } } }
        }
        @for one in &view.days { (day(one, lang)) }
    };
    page(chrome, &Content::wide(title, Section::Take, main))
}

fn day(day: &Day, lang: Lang) -> Markup {
    let id = format!("jour-{}", day.date);
    html! {
        section class="day" aria-labelledby=(id) {
            h2 id=(id) { (dates::weekday(day.date, lang)) }
            ol class="timeline" {
                @for line in day.episodes.iter().flat_map(|one| &one.lines) {
                    li class="event" {
                        p class="when" {
                            (dates::clock(line.time, lang)) (unseen(html! { " " })) br; (common::NUMBER.of(lang)) " " (line.index)
                        }
                        div class="said" { (said(line, lang)) }
                    }
                }
            }
        }
    }
}
