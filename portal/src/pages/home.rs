//! The first page after the login, and the one before it.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, notice};
use crate::view::Chrome;
use crate::view::home::{HomeView, Notice, WelcomeView};
use crate::web::fields::encoded;
use crate::words::{common, home as w};

/// The first page after the login.
pub fn home(chrome: &Chrome, view: &HomeView) -> Markup {
    let lang = chrome.lang;
    let title = common::HOME.of(lang);
    let hello = |user: &crate::view::User| html! { (w::HELLO.of(lang)) " " (user.name) };
    let main = html! {
        h1 { @match &chrome.user { Some(user) => (hello(user)), None => (title) } }
        (news(view, lang))
        @if !view.may_decide { (notice(Tone::Note, html! { p { (w::LOW_LEVEL.of(lang)) } })) }
        (notices(view, lang))
        (cards(view, lang))
    };
    page(chrome, &Content::wide(title, Section::Home, main))
}

fn news(view: &HomeView, lang: Lang) -> Markup {
    html! {
        div class="news" {
            div {
                p class="news-count" {
                    @match view.news {
                        None => (common::TRACE.of(lang)),
                        Some(0) => (w::NEWS_NONE.of(lang)),
                        Some(n) => (w::news(n, lang)),
                    }
                }
                @if let Some(last) = &view.last_visit { p class="remark" { (w::SINCE.of(lang)) " " (last) } }
            }
            a class="button" href="/trace" { (w::SEE_THEM.of(lang)) }
        }
    }
}

/// Path of a notice, and its gravity.
fn leads(notice: &Notice) -> (&'static str, Tone) {
    match notice {
        Notice::EmergencyOverdue(_) => ("/urgences", Tone::Alarm),
        Notice::Emergency(_) => ("/urgences", Tone::Warning),
        Notice::Unjustified(_) => ("/trace?injustifie=1", Tone::Warning),
        Notice::Answered(_) => ("/questions", Tone::Good),
        Notice::AnswerOverdue(_) => ("/questions", Tone::Warning),
        Notice::SilentSources(_) => ("/sources", Tone::Note),
        Notice::NotProven => ("/verifier", Tone::Alarm),
    }
}

fn notices(view: &HomeView, lang: Lang) -> Markup {
    html! {
        @if !view.notices.is_empty() {
            section aria-labelledby="regarder" {
                h2 id="regarder" { (w::ATTENTION.of(lang)) }
                @for one in &view.notices {
                    @let (path, tone) = leads(one);
                    (notice(tone, html! { p { (w::notice(one, lang)) " " a href=(path) { (w::look(one).of(lang)) } } }))
                }
            }
        }
    }
}

fn cards(view: &HomeView, lang: Lang) -> Markup {
    let all = [
        ("/trace", common::TRACE, w::TRACE_CARD, true),
        ("/acces", common::ACCESS, w::ACCESS_CARD, true),
        ("/choix", common::CHOICES, w::CHOICES_CARD, true),
        ("/urgences", common::EMERGENCIES, w::EMERGENCIES_CARD, true),
        ("/questions", common::QUESTIONS, w::QUESTIONS_CARD, true),
        ("/emporter", common::TAKE, w::TAKE_CARD, true),
        ("/sources", common::SOURCES, w::SOURCES_CARD, true),
        ("/proches", common::FAMILY, w::FAMILY_CARD, view.has_family),
    ];
    html! {
        section aria-labelledby="rubriques" {
            h2 id="rubriques" class="unseen" { (common::SECTIONS.of(lang)) }
            ul class="cards" {
                @for (path, name, text, _) in all.into_iter().filter(|(.., is_shown)| *is_shown) {
                    li class="card" { h3 class="card-head" { a href=(path) { (name.of(lang)) } } p { (text.of(lang)) } }
                }
            }
        }
    }
}

/// The page before the login.
pub fn welcome(chrome: &Chrome, view: &WelcomeView) -> Markup {
    let lang = chrome.lang;
    let title = w::WELCOME.of(lang);
    let begin = match view.next.as_str() {
        "" => "/connexion".to_owned(),
        next => format!("/connexion?suite={}", encoded(next)),
    };
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::WELCOME_LEAD.of(lang)) }
        // A login begins by a link: a browser holds `form-action` against each redirect of a form, on to the identity provider.
        p { a class="button" href=(begin) { (w::log_in_with(view.login.as_str(), lang)) } }
        ul class="welcome-points" { @for point in w::WELCOME_POINTS { li { (point.of(lang)) } } }
        (notice(Tone::Note, html! { p { (w::WELCOME_READ.of(lang)) } }))
        p { (w::WELCOME_FILE.of(lang)) " " a href="/verifier" { (w::WELCOME_CHECK.of(lang)) } }
    };
    page(chrome, &Content::wide(title, Section::Home, main))
}
