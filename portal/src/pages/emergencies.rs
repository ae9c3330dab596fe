//! Emergency accesses, each as one story: opened, read, justified or overdue, reviewed.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::unseen;
use crate::view::Chrome;
use crate::view::choices::Sort;
use crate::view::stories::{EmergenciesView, Emergency, EmergencyState, Step};
use crate::words::{common, stories as w, trace};

/// The page.
pub fn emergencies(chrome: &Chrome, view: &EmergenciesView) -> Markup {
    let lang = chrome.lang;
    let title = common::EMERGENCIES.of(lang);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::EMERGENCIES_LEAD.of(lang)) }
        p { (w::EMERGENCIES_REVIEW.of(lang)) }
        @if view.stories.is_empty() { div class="empty" { p { (w::NO_EMERGENCY.of(lang)) } } } @else {
            ol class="stories" { @for (at, one) in view.stories.iter().enumerate() { (story(at, one, lang)) } }
        }
        p { a href={ "/choix/" (Sort::OpposeEmergency.slug()) } { (w::REFUSE_ALL.of(lang)) } }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

fn class_of(state: &EmergencyState) -> &'static str {
    match state {
        EmergencyState::Open { .. } => "badge is-emergency",
        EmergencyState::Waiting { .. } => "badge is-warning",
        EmergencyState::Overdue { .. } | EmergencyState::Rejected => "badge is-alarm",
        EmergencyState::Justified => "badge is-plain",
        EmergencyState::Accepted => "badge is-good",
    }
}

fn story(at: usize, story: &Emergency, lang: Lang) -> Markup {
    let (word, sentence) = w::emergency(&story.state, lang);
    let id = format!("urgence-{at}");
    html! {
        li class="story" {
            div class="story-head" {
                h2 id=(id) { (story.when) }
                p class=(class_of(&story.state)) { (word) }
            }
            p { strong { (story.who) } }
            p { (sentence) }
            h3 { (w::REASON.of(lang)) }
            blockquote { (story.reason) }
            h3 { (w::STEPS.of(lang)) }
            ol class="steps" { @for one in &story.steps { (step(one, lang)) } }
            @if let Some(path) = &story.ask { p { a href=(path) { (w::ASK.of(lang)) (unseen(html! { " – " (story.when) })) } } }
        }
    }
}

fn step(step: &Step, lang: Lang) -> Markup {
    html! {
        li class=(if step.missing { "step is-missing" } else { "step" }) {
            p class="when" { (step.when) }
            p { (step.sentence) }
            @if let Some(quote) = &step.quote { blockquote { (quote) } }
            @if let Some(index) = step.index {
                p { a href={ "/trace/" (index) } { (w::SEE_LINE.of(lang)) (unseen(trace::of_line(index, lang))) } }
            }
        }
    }
}
