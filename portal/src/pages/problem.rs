//! Pages that say why something can't be shown or done, with the way out; and pages that end a visit.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, notice};
use crate::view::Chrome;
use crate::view::problem::{Farewell, Problem, ProblemView};
use crate::words::{Phrase, common, problem as w};

/// A page that says why.
pub fn problem(chrome: &Chrome, view: &ProblemView) -> Markup {
    let lang = chrome.lang;
    let (title, why) = w::problem(&view.problem);
    let (path, name) = way_out(view, lang);
    let main = html! {
        h1 { (title.of(lang)) }
        @if let Problem::Refused { sentence, .. } = &view.problem { p class="lead" { (sentence) } }
        p { (why.of(lang)) @if view.problem == Problem::Away { " " (come_back(view, lang)) } }
        @if view.may_be_recorded { (notice(Tone::Warning, html! { p { (w::MAY_BE_RECORDED.of(lang)) } })) }
        div class="buttons" {
            a class="button" href=(path) { (name) }
            @if view.may_be_recorded { a href="/choix" { (w::TO_CHOICES.of(lang)) } }
        }
        @if let Problem::Refused { code, .. } = &view.problem {
            p class="remark" { (w::CODE.of(lang)) " " code translate="no" { (code) } }
        }
        @if let Some(reference) = &view.reference {
            p class="remark" { (w::REFERENCE.of(lang)) " " code translate="no" { (reference) } }
        }
    };
    page(chrome, &Content::narrow(title.of(lang), Section::Other, main))
}

fn come_back(view: &ProblemView, lang: Lang) -> Markup {
    html! {
        @match &view.come_back {
            Some(when) => { (w::COME_BACK.of(lang)) " " (when) "." }
            None => (w::COME_BACK_SOON.of(lang)),
        }
    }
}

/// Path of the button, and its name.
fn way_out(view: &ProblemView, lang: Lang) -> (String, Phrase) {
    let path = |otherwise: &str| view.way_out.clone().unwrap_or_else(|| otherwise.to_owned());
    match view.problem {
        Problem::SessionOver => (path("/connexion"), common::LOG_IN_AGAIN.of(lang)),
        Problem::NotFound | Problem::NotPermitted => (path("/"), w::TO_HOME.of(lang)),
        _ => (path("/"), w::TRY_AGAIN.of(lang)),
    }
}

/// A page that ends a visit, or is about to.
pub fn farewell(chrome: &Chrome, farewell: &Farewell) -> Markup {
    let lang = chrome.lang;
    let title = match farewell {
        Farewell::LoggedOut | Farewell::LeftOpen { .. } => w::LOGGED_OUT,
        Farewell::KioskWarning { .. } => w::KIOSK_WARNING,
        Farewell::KioskEnd => w::KIOSK_END,
    }
    .of(lang);
    let main = html! {
        h1 { (title) }
        @match farewell {
            Farewell::LoggedOut => {
                p class="lead" { (w::LOGGED_OUT_LEAD.of(lang)) }
                p { (w::CLOSE_WINDOW.of(lang)) }
                p { a class="button" href="/connexion?encore=1" { (common::LOG_IN_AGAIN.of(lang)) } }
            }
            Farewell::LeftOpen { until } => {
                p class="lead" { (w::left_open(until, lang)) }
                p { (w::CLOSE_WINDOW.of(lang)) }
                p { a class="button" href="/connexion?encore=1" { (common::LOG_IN_AGAIN.of(lang)) } }
            }
            Farewell::KioskWarning { seconds } => {
                p class="lead" { (w::kiosk_ends_in(*seconds, lang)) }
                div class="buttons" {
                    a class="button" href=(chrome.path) { (w::KIOSK_GO_ON.of(lang)) }
                    form method="post" action="/deconnexion" {
                        (super::parts::csrf(chrome))
                        button class="button is-second" type="submit" { (w::KIOSK_STOP.of(lang)) }
                    }
                }
            }
            Farewell::KioskEnd => {
                p class="lead" { (w::KIOSK_END_LEAD.of(lang)) }
                p { a class="button" href="/" { (w::KIOSK_BEGIN.of(lang)) } }
            }
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}
