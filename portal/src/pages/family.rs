//! « Mes proches »: whom one represents, and by whom one is represented.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, csrf, notice, unseen};
use crate::view::people::{FamilyView, Representative, Represented};
use crate::view::{Chrome, Text, fields};
use crate::words::{common, family as w, trace};

/// The page.
pub fn family(chrome: &Chrome, view: &FamilyView) -> Markup {
    let lang = chrome.lang;
    let title = common::FAMILY.of(lang);
    let represents = view.people.iter().any(|one| !one.oneself);
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        section aria-labelledby="regarder" {
            h2 id="regarder" { (w::PEOPLE.of(lang)) }
            @if represents {
                (notice(Tone::Note, html! { p { (w::ON_RECORD.of(lang)) } }))
                ul class="held" { @for one in &view.people { (represented(chrome, one)) } }
            } @else { p { (w::NOBODY.of(lang)) } }
        }
        section aria-labelledby="representants" {
            h2 id="representants" { (w::REPRESENTATIVES.of(lang)) }
            @if view.representatives.is_empty() { p { (w::NO_REPRESENTATIVE.of(lang)) } } @else {
                ul class="held" { @for one in &view.representatives { (representative(one, lang)) } }
            }
        }
        @if view.is_minor {
            section aria-labelledby="mineur" {
                h2 id="mineur" { (w::MINOR_HEAD.of(lang)) }
                ul class="sentences" { @for one in w::MINOR { li { (one.of(lang)) } } }
            }
        }
        @if let Some(id) = &view.own_id {
            section aria-labelledby="identifiant" {
                h2 id="identifiant" { (w::OWN_ID.of(lang)) }
                p { code translate="no" { (id) } }
                p class="remark" { (w::OWN_ID_HELP.of(lang)) }
            }
        }
    };
    page(chrome, &Content::narrow(title, Section::Other, main))
}

fn represented(chrome: &Chrome, one: &Represented) -> Markup {
    let lang = chrome.lang;
    html! {
        li {
            p { strong { (one.name) } @if one.oneself { " – " (w::MYSELF.of(lang)) } }
            (powers(&one.powers, one.until.as_ref(), one.oneself, lang))
            @if one.current { p { span class="badge is-new" { (w::CURRENT.of(lang)) } } } @else {
                form method="post" action="/proches" {
                    (csrf(chrome))
                    input type="hidden" name=(fields::PERSON) value=(one.value);
                    button class="button is-second" type="submit" {
                        @if one.oneself { (w::LOOK_MYSELF.of(lang)) } @else { (w::LOOK.of(lang)) " " (one.name) }
                    }
                }
            }
        }
    }
}

fn powers(powers: &[Text], until: Option<&Text>, oneself: bool, lang: Lang) -> Markup {
    html! {
        @if !oneself {
            p class="remark" {
                @if !powers.is_empty() {
                    (w::POWERS.of(lang)) " "
                    @for (at, power) in powers.iter().enumerate() { @if at > 0 { ", " } (power) }
                    ". "
                }
                @match until { Some(until) => { (w::UNTIL.of(lang)) " " (until) "." }, None => { (w::NO_END.of(lang)) "." } }
            }
        }
    }
}

fn representative(one: &Representative, lang: Lang) -> Markup {
    html! {
        li {
            p { strong { (one.name) } }
            (powers(&one.powers, one.until.as_ref(), false, lang))
            p { a href={ "/trace/" (one.index) } { (w::LINE.of(lang)) (unseen(trace::of_line(one.index, lang))) } }
        }
    }
}
