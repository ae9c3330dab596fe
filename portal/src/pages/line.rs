//! One line of the trace: what is on record, why it was possible, what can be done, and its proof.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Tone, back, code_fact, fact, facts, notice, sentences};
use super::questions::exchange;
use super::trace::said;
use crate::view::Chrome;
use crate::view::stories::Contest;
use crate::view::trace::{Actions, LineView, Proof, Why};
use crate::words::{Both, common, counted, dates, trace as w};

/// The page.
pub fn line(chrome: &Chrome, view: &LineView) -> Markup {
    let lang = chrome.lang;
    let title = w::line_title(view.date, view.line.time, lang);
    let main = html! {
        (back(&view.back, &w::BACK.of(lang)))
        h1 { (title) }
        @if !view.proof.holds { (notice(Tone::Alarm, html! { p { (w::PROOF_FAILS.of(lang)) } })) }
        div class="story" { (said(&view.line, lang)) }
        @if let Some(why) = &view.why { (self::why(why, lang)) }
        (actions(&view.actions, lang))
        (asked(&view.contests, lang))
        h2 { (w::FACTS.of(lang)) }
        (facts(&view.facts))
        (proof(view.line.index, &view.proof, lang))
    };
    page(chrome, &Content::narrow(title, Section::Trace, main))
}

fn why(why: &Why, lang: Lang) -> Markup {
    html! {
        section class="why" aria-labelledby="pourquoi" {
            h2 id="pourquoi" { (w::WHY.of(lang)) }
            @if why.reasons.is_empty() && why.claimed.is_empty() { p { (w::WHY_UNKNOWN.of(lang)) } }
            @if !why.reasons.is_empty() { (sentences(&why.reasons)) }
            @if !why.claimed.is_empty() {
                p class="remark" { (w::CLAIMED.of(lang)) }
                (sentences(&why.claimed))
            }
            @if !why.stoppers.is_empty() {
                h3 { (w::STOPPERS.of(lang)) }
                (sentences(&why.stoppers))
            }
        }
    }
}

fn actions(actions: &Actions, lang: Lang) -> Markup {
    let all: [(&Option<String>, Both, Both); 3] = [
        (&actions.ask, w::ASK, w::ASK_HELP),
        (&actions.block, w::BLOCK, w::BLOCK_HELP),
        (&actions.mask, w::MASK, w::MASK_HELP),
    ];
    let offered: Vec<(&String, Both, Both)> =
        all.into_iter().filter_map(|(path, name, help)| Some((path.as_ref()?, name, help))).collect();
    html! {
        @if !offered.is_empty() || actions.unavailable.is_some() {
            section aria-labelledby="agir" {
                h2 id="agir" { (w::ACTIONS.of(lang)) }
                @if let Some(why) = &actions.unavailable { (notice(Tone::Note, html! { p { (why) } })) }
                @if !offered.is_empty() {
                    ul class="cards is-three" {
                        @for (path, name, help) in offered {
                            li class="card" { p class="card-head" { a href=(path) { (name.of(lang)) } } p { (help.of(lang)) } }
                        }
                    }
                }
            }
        }
    }
}

fn asked(contests: &[Contest], lang: Lang) -> Markup {
    html! {
        @if !contests.is_empty() {
            section aria-labelledby="questions" {
                h2 id="questions" { (w::ASKED.of(lang)) }
                ol class="stories" {
                    @for contest in contests { li class="story" { (exchange(contest, lang)) } }
                }
                p { a href="/questions" { (w::ALL_ASKED.of(lang)) } }
            }
        }
    }
}

fn proof(index: u64, proof: &Proof, lang: Lang) -> Markup {
    html! {
        section class="proof" aria-labelledby="preuve" {
            h2 id="preuve" { (w::PROOF.of(lang)) }
            @if proof.holds { (notice(Tone::Good, html! { p { (w::PROOF_HOLDS.of(lang)) } })) }
            details {
                summary { (w::PROOF_DETAIL.of(lang)) }
                dl class="facts" {
                    (fact(&common::NUMBER.of(lang), dates::number(index, lang)))
                    (fact(&w::SIGNED_BY.of(lang), &proof.signed_by))
                    (code_fact(&w::LOG.of(lang), &proof.log))
                    (fact(&w::SIZE.of(lang), counted(proof.size, w::ENTRY, lang)))
                    (fact(&w::AS_OF.of(lang), &proof.as_of))
                    (code_fact(&w::ROOT.of(lang), &proof.root))
                    (code_fact(&w::LEAF.of(lang), &proof.leaf))
                    @if !proof.cosigners.is_empty() { (fact(&w::COSIGNED_BY.of(lang), html! {
                        ul { @for name in &proof.cosigners { li { (name) } } }
                    })) }
                }
                @if let Some(path) = &proof.download { p { a href=(path) download { (w::PROOF_FILE.of(lang)) } } }
            }
        }
    }
}
