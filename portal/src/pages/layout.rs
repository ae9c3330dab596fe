//! The frame of each page: head, skip link, header, navigation, main part, footer.

use maud::{DOCTYPE, Markup, html};
use sillage_words::Lang;

use super::parts::csrf;
use crate::view::chrome::{SESSION_MINUTES_MAX, WARNED_MINUTES};
use crate::view::{Chrome, User, fields};
use crate::words::{Phrase, common};

/// The section of the site that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The first page.
    Home,
    /// « Qui a accédé ? ».
    Trace,
    /// « Qui peut accéder ? ».
    Access,
    /// « Mes choix ».
    Choices,
    /// « Emporter et vérifier ».
    Take,
    /// Any other.
    Other,
}

/// Sections of the navigation: section, path, name.
const SECTIONS: [(Section, &str, crate::words::Both); 5] = [
    (Section::Home, "/", common::HOME),
    (Section::Trace, "/trace", common::TRACE),
    (Section::Access, "/acces", common::ACCESS),
    (Section::Choices, "/choix", common::CHOICES),
    (Section::Take, "/emporter", common::TAKE),
];

/// A page but for its frame.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its title, for the browser's window; the page's `h1` says the same or more.
    pub title: Phrase,
    /// Its section.
    pub section: Section,
    /// Its main part, `h1` included.
    pub main: Markup,
    /// Tells whether it uses the full width, as a list does; texts and forms are narrower.
    pub is_wide: bool,
    /// Tells whether it runs `/verifier.js`.
    pub has_script: bool,
}

impl Content {
    /// A page of text or a form.
    pub fn narrow(title: Phrase, section: Section, main: Markup) -> Self {
        Self { title, section, main, is_wide: false, has_script: false }
    }

    /// A page with a list.
    pub fn wide(title: Phrase, section: Section, main: Markup) -> Self {
        Self { is_wide: true, ..Self::narrow(title, section, main) }
    }
}

/// The whole page.
pub fn page(chrome: &Chrome, content: &Content) -> Markup {
    let lang = chrome.lang;
    html! {
        (DOCTYPE)
        html lang=(lang.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                meta name="referrer" content="same-origin";
                meta name="format-detection" content="telephone=no";
                title { (content.title) " – " (common::SITE.of(lang)) }
                link rel="icon" href="/icone.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                @if content.has_script { script type="module" src="/verifier.js" {} }
            }
            body {
                (header(chrome))
                @if chrome.user.is_some() { (navigation(content.section, lang)) }
                main id="contenu" class=(if content.is_wide { "wide" } else { "narrow" }) tabindex="-1" {
                    (content.main)
                }
                (footer(chrome))
                @if let Some(user) = &chrome.user { (ending(user, lang)) }
            }
        }
    }
}

fn header(chrome: &Chrome) -> Markup {
    let lang = chrome.lang;
    html! {
        header class="top" {
            a class="skip" href="#contenu" { (common::SKIP.of(lang)) }
            div class="bar" {
                a class="brand" href="/" aria-label=(common::HOME_LINK.of(lang)) { (mark()) span { (common::SITE.of(lang)) } }
                (language(chrome))
                a class="leave" href="/sortie" rel="nofollow noreferrer" { (common::QUICK_EXIT.of(lang)) }
            }
            @if let Some(user) = &chrome.user { (account(user, chrome)) }
            @if chrome.test_log { p class="test-log" { (common::TEST_LOG.of(lang)) } }
        }
    }
}

/// Three waves: the wake that a ship leaves.
fn mark() -> Markup {
    html! {
        svg viewBox="0 0 28 24" width="28" height="24" aria-hidden="true" focusable="false" {
            path d="M2 20c5.500 0 7-5 12-5s6.500 5 12 5" {}
            path d="M5.500 12.500c4 0 5-3.600 8.500-3.600s4.500 3.600 8.500 3.600" {}
            path d="M9.500 6c2 0 2.700-2 4.500-2s2.500 2 4.500 2" {}
        }
    }
}

/// The language by a POST, so that it never stands in a URL and works from every page.
fn language(chrome: &Chrome) -> Markup {
    let (lang, other) = match chrome.lang {
        Lang::Fr => (Lang::Fr, Lang::En),
        Lang::En => (Lang::En, Lang::Fr),
    };
    html! {
        form class="language" method="post" action="/langue" {
            (csrf(chrome))
            input type="hidden" name=(fields::BACK) value=(chrome.path);
            button type="submit" name=(fields::LANG) value=(other.as_str()) lang=(other.as_str()) {
                (common::OTHER_LANGUAGE.of(lang))
            }
        }
    }
}

fn account(user: &User, chrome: &Chrome) -> Markup {
    let lang = chrome.lang;
    html! {
        section class=(if chrome.kiosk { "account is-kiosk" } else { "account" }) aria-label=(common::ACCOUNT.of(lang)) {
            p class="account-who" {
                strong { (user.name) } " "
                span class="account-login" { (common::logged_in(user.login.as_str(), user.until, lang)) }
            }
            div class="account-links" {
                @if user.may_switch { a href="/proches" { (common::SWITCH.of(lang)) } }
                form method="post" action="/deconnexion" {
                    (csrf(chrome))
                    button class="as-link" type="submit" {
                        @if chrome.kiosk { (common::KIOSK_STOP.of(lang)) } @else { (common::LOG_OUT.of(lang)) }
                    }
                }
            }
        }
        @if let Some(other) = &user.acting_for {
            p class="acting" {
                (common::ACTING_FOR.of(lang)) " " strong { (other) } ". "
                span { (common::AS_REPRESENTATIVE.of(lang)) }
            }
        }
    }
}

/// The warning before the session ends. It waits on the page, unseen, and the style sheet shows it when its time has come: no
/// script, no reload, and nothing that is being typed is lost.
fn ending(user: &User, lang: Lang) -> Markup {
    let left = user.ending.minutes_left.min(SESSION_MINUTES_MAX);
    let wait = left.saturating_sub(WARNED_MINUTES);
    html! {
        div class={ "ending after-" (wait) } role="status" {
            p { (common::ENDING.of(lang)) " " a href="/connexion" { (common::LOG_IN_AGAIN.of(lang)) } }
        }
    }
}

fn navigation(here: Section, lang: Lang) -> Markup {
    html! {
        nav class="sections" aria-label=(common::SECTIONS.of(lang)) {
            ul {
                @for (section, path, name) in SECTIONS {
                    li { a href=(path) aria-current=[(section == here).then_some("page")] { (name.of(lang)) } }
                }
            }
        }
    }
}

/// Help stands first in the footer of every page, in the same place (WCAG 3.2.6).
fn footer(chrome: &Chrome) -> Markup {
    let lang = chrome.lang;
    html! {
        footer class="bottom" {
            div class="help-line" {
                p {
                    strong { (common::HELP_HEAD.of(lang)) } " "
                    a href="/aide" { (common::HELP.of(lang)) }
                    @if let Some(help) = &chrome.help { " · " (help) }
                }
            }
            ul class="more-pages" {
                @if chrome.user.is_some() {
                    li { a href="/urgences" { (common::EMERGENCIES.of(lang)) } }
                    li { a href="/questions" { (common::QUESTIONS.of(lang)) } }
                    li { a href="/sources" { (common::SOURCES.of(lang)) } }
                    li { a href="/proches" { (common::FAMILY.of(lang)) } }
                }
                li { a href="/accessibilite" { (common::ACCESSIBILITY.of(lang)) } }
            }
        }
    }
}
