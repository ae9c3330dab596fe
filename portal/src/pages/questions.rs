//! Questions to establishments, each with its due date and answer; and the form that asks.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Tone, back, csrf, error_summary, notice, submit, unseen};
use crate::view::stories::{AskView, Contest, ContestState, ContestsView};
use crate::view::{Chrome, fields};
use crate::words::{choices, common, stories as w};

/// All questions.
pub fn questions(chrome: &Chrome, view: &ContestsView) -> Markup {
    let lang = chrome.lang;
    let title = common::QUESTIONS.of(lang);
    let main = html! {
        @if let Some(index) = view.asked {
            (notice(Tone::Good, html! { p role="status" { (w::ASKED.of(lang)) " " (choices::numbered(index, lang)) "." } }))
        }
        h1 { (title) }
        p class="lead" { (w::QUESTIONS_LEAD.of(lang)) }
        @if view.contests.is_empty() {
            div class="empty" {
                p { (w::NO_QUESTION.of(lang)) }
                p { a href="/trace" { (w::TO_TRACE.of(lang)) } }
            }
        } @else {
            ol class="stories" { @for one in &view.contests { (contest(chrome, one)) } }
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

fn class_of(state: ContestState) -> &'static str {
    match state {
        ContestState::Waiting => "badge is-new",
        ContestState::Overdue => "badge is-alarm",
        ContestState::Answered => "badge is-good",
        ContestState::AnsweredLate => "badge is-warning",
        ContestState::Closed => "badge is-plain",
    }
}

fn contest(chrome: &Chrome, contest: &Contest) -> Markup {
    let lang = chrome.lang;
    html! {
        li class="story" {
            div class="story-head" {
                h2 { (w::question(contest.index, lang)) }
                p class=(class_of(contest.state)) { (w::contest(contest.state).of(lang)) }
            }
            (exchange(contest, lang))
            p { a href={ "/trace/" (contest.about) } { (w::see_line(contest.about, lang)) } }
            @if let Some(value) = &contest.close { (close(chrome, contest.index, value)) }
        }
    }
}

/// Question and answers.
pub(super) fn exchange(contest: &Contest, lang: Lang) -> Markup {
    html! {
        p class="remark" { (contest.line) }
        blockquote { (contest.question) }
        p class="remark" { (w::dates_of(contest.asked, contest.to.as_str(), contest.due, lang)) }
        @for answer in &contest.answers {
            h3 { (w::answer_of(answer.by.as_str(), answer.day, lang)) }
            blockquote { (answer.text) }
        }
    }
}

fn close(chrome: &Chrome, index: u64, value: &str) -> Markup {
    let lang = chrome.lang;
    html! {
        form method="post" action="/questions/clore" {
            (csrf(chrome))
            input type="hidden" name=(fields::CONTEST) value=(value);
            p class="remark" { (w::CLOSE_HELP.of(lang)) }
            button class="button is-second" type="submit" { (w::CLOSE.of(lang)) (unseen(choices::of_choice(index, lang))) }
        }
    }
}

/// The form that asks about one line.
pub fn ask(chrome: &Chrome, view: &AskView) -> Markup {
    let lang = chrome.lang;
    let title = w::ASK_TITLE.of(lang);
    let field = Labelled {
        field: fields::QUESTION,
        label: w::ASK_LABEL.of(lang),
        hint: Some(w::ASK_HINT.of(lang)),
        errors: &view.errors,
        lang,
    };
    let line = format!("/trace/{}", view.about);
    let main = html! {
        (back(&line, &w::see_line(view.about, lang)))
        (error_summary(&view.errors, lang))
        h1 { (title) }
        div class="story" { p { (view.line) } }
        p { (w::ASK_TO.of(lang)) " " strong { (view.to) } ". " (w::ASK_DUE.of(lang)) }
        form method="post" action={ (line) "/question" } {
            (csrf(chrome))
            input type="hidden" name=(fields::RECORD) value=(view.record);
            (field.area(&view.typed))
            div class="buttons" { (submit(&w::ASK_SEND.of(lang))) a href=(line) { (common::CANCEL.of(lang)) } }
        }
    };
    let title = if view.errors.is_empty() { title } else { common::erroneous(&title, lang) };
    page(chrome, &Content::narrow(title, Section::Trace, main))
}
