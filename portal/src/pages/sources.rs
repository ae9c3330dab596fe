//! « Qui alimente ma trace ? »: who records into this log, on which day each last did, and what is missing.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, notice};
use crate::view::Chrome;
use crate::view::take::{Source, SourceState, SourcesView};
use crate::words::{common, take as w};

/// The page.
pub fn sources(chrome: &Chrome, view: &SourcesView) -> Markup {
    let lang = chrome.lang;
    let title = common::SOURCES.of(lang);
    let mut states: Vec<SourceState> = view.sources.iter().map(|source| source.state).collect();
    states.sort_unstable();
    states.dedup();
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::SOURCES_LEAD.of(lang)) }
        @match &view.listed {
            Some(listed) => p class="remark" { (w::SOURCES_LISTED.of(lang)) " " (listed) "." },
            None => (notice(Tone::Warning, html! { p { (w::SOURCES_NO_LIST.of(lang)) } })),
        }
        @if view.sources.is_empty() { div class="empty" { p { (w::SOURCES_NONE.of(lang)) } } } @else {
            (table(view, lang))
            dl class="facts" {
                @for state in states {
                    div {
                        dt { span class=(class_of(state)) { (w::source(state).of(lang)) } }
                        dd { (w::source_help(state).of(lang)) }
                    }
                }
            }
        }
    };
    page(chrome, &Content::wide(title, Section::Other, main))
}

fn class_of(state: SourceState) -> &'static str {
    match state {
        SourceState::Recording => "badge is-good",
        SourceState::Silent => "badge is-warning",
        SourceState::Never => "badge is-alarm",
        SourceState::Unlisted => "badge is-plain",
    }
}

fn table(view: &SourcesView, lang: Lang) -> Markup {
    html! {
        table class="sources" {
            caption { (w::SOURCES_AS_OF.of(lang)) " " (view.as_of) ". " (w::SOURCES_DAYS.of(lang)) }
            thead {
                tr {
                    @for head in [w::SOURCE, w::LAST_DAY, w::STATE, w::GAPS] { th scope="col" { (head.of(lang)) } }
                }
            }
            tbody { @for source in &view.sources { (row(source, lang)) } }
        }
    }
}

fn row(source: &Source, lang: Lang) -> Markup {
    let gaps = match source.gapless {
        Some(true) => w::GAPLESS,
        Some(false) => w::GAPS_FOUND,
        None => w::GAPS_UNKNOWN,
    };
    html! {
        tr {
            th scope="row" { (source.name) span { (source.structure) } }
            td data-head=(w::LAST_DAY.of(lang)) { (w::last_day(source.last_day, lang)) }
            td data-head=(w::STATE.of(lang)) { span class=(class_of(source.state)) { (w::source(source.state).of(lang)) } }
            td data-head=(w::GAPS.of(lang)) { (gaps.of(lang)) }
        }
    }
}
