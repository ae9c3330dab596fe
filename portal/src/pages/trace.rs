//! « Qui a accédé ? »: days, episodes, filters, links to older and newer lines.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Tone, badges, error_summary, notice, submit, tick, unseen};
use crate::view::trace::{Badge, Checked, Day, Episode, Filters, Line, TraceView};
use crate::view::{Chrome, fields};
use crate::words::{Phrase, common, counted, dates, trace as w};

/// The page.
pub fn trace(chrome: &Chrome, view: &TraceView) -> Markup {
    let lang = chrome.lang;
    let title = common::TRACE.of(lang);
    let main = html! {
        (error_summary(&view.filters.errors, lang))
        h1 { (title) }
        p class="lead" { (w::LEAD.of(lang)) }
        @if view.total_shown > 0 { (checked(view.checked.as_ref(), lang)) }
        (filters(view, lang))
        @if view.days.is_empty() { (empty(view, lang)) }
        @for day in &view.days { (self::day(day, lang)) }
        (paging(view, lang))
        @if view.total_shown > 0 { (legend(view, lang)) }
    };
    let title = if view.filters.errors.is_empty() { title } else { common::erroneous(&title, lang) };
    page(chrome, &Content::wide(title, Section::Trace, main))
}

fn checked(checked: Option<&Checked>, lang: Lang) -> Markup {
    match checked {
        Some(Checked { lines, size, as_of }) => notice(
            Tone::Good,
            html! {
                p {
                    (w::checked(*lines, *size, as_of.as_str(), lang)) " "
                    a href="/verifier" { (w::CHECK_WHOLE.of(lang)) }
                }
            },
        ),
        None => notice(Tone::Warning, html! { p { (w::NOT_CHECKED.of(lang)) } }),
    }
}

fn filters(view: &TraceView, lang: Lang) -> Markup {
    let Filters { from, to, people, structures, kinds, emergencies, unjustified, errors } = &view.filters;
    let is_narrowed = view.filters.any();
    let field = |field, label| Labelled { field, label, hint: None, errors, lang };
    html! {
        details class="filters" open[is_narrowed || !errors.is_empty()] {
            summary { (w::FILTER.of(lang)) }
            form method="get" action=(view.path) {
                fieldset class="period" {
                    legend { (w::PERIOD.of(lang)) }
                    (field(fields::FROM, w::FROM.of(lang)).day(from))
                    (field(fields::UNTIL, w::TO.of(lang)).day(to))
                }
                (field(fields::PERSON, w::WHO.of(lang)).select(&w::EVERYBODY.of(lang), people))
                (field(fields::STRUCTURE, w::STRUCTURE.of(lang)).select(&w::EVERYWHERE.of(lang), structures))
                (field(fields::KIND, w::KIND.of(lang)).select(&w::EVERYTHING.of(lang), kinds))
                fieldset class="field" {
                    legend { (w::ONLY.of(lang)) }
                    (tick(fields::EMERGENCY, &w::ONLY_EMERGENCIES.of(lang), None, *emergencies))
                    (tick(fields::UNJUSTIFIED, &w::ONLY_UNJUSTIFIED.of(lang), None, *unjustified))
                }
                div class="buttons" {
                    (submit(&w::APPLY.of(lang)))
                    @if is_narrowed { a href=(view.path) { (w::SHOW_ALL.of(lang)) } }
                }
            }
        }
    }
}

fn empty(view: &TraceView, lang: Lang) -> Markup {
    html! {
        div class="empty" {
            @if view.filters.any() {
                p { (w::EMPTY_FILTERED.of(lang)) }
                p { a href=(view.path) { (w::SHOW_ALL.of(lang)) } }
            } @else {
                p { (w::EMPTY.of(lang)) }
                p { (w::EMPTY_HELP.of(lang)) }
                p { a href="/sources" { (common::SOURCES.of(lang)) } }
            }
        }
    }
}

fn day(day: &Day, lang: Lang) -> Markup {
    let id = format!("jour-{}", day.date);
    let (automatic, others): (Vec<&Episode>, Vec<&Episode>) = day.episodes.iter().partition(|one| one.automatic);
    html! {
        section class="day" aria-labelledby=(id) {
            h2 id=(id) { time datetime=(day.date) { (dates::weekday(day.date, lang)) } }
            ol class="timeline" {
                @for one in others { (episode(day, one, lang)) }
                @if !automatic.is_empty() { (folded(day, &automatic, lang)) }
            }
        }
    }
}

fn episode(day: &Day, episode: &Episode, lang: Lang) -> Markup {
    match episode.lines.as_slice() {
        [one] => line(day, one, lang),
        lines => html! {
            li class={ "event" (emphasis(&episode.badges)) } {
                p class="when" { (span_of(day, lines, lang)) }
                div class="said" {
                    p { @if let Some(who) = &episode.who { strong { (who) } " " } (episode.sentence) }
                    (badges(&episode.badges, lang))
                    details class="lines" {
                        summary { (w::each_of(lines.len(), lang)) }
                        ol { @for one in lines { (line(day, one, lang)) } }
                    }
                }
            }
        },
    }
}

/// The time of several lines: the earliest to the latest.
fn span_of(day: &Day, lines: &[Line], lang: Lang) -> Markup {
    let times = || lines.iter().map(|line| line.time);
    match (times().min(), times().max()) {
        (Some(first), Some(last)) if dates::clock(first, lang) != dates::clock(last, lang) => html! {
            (moment(day, first, lang)) " – " (moment(day, last, lang))
        },
        (Some(first), _) => moment(day, first, lang),
        (None, _) => html! {},
    }
}

fn moment(day: &Day, time: jiff::civil::Time, lang: Lang) -> Markup {
    html! { time datetime={ (day.date) "T" (time.strftime("%H:%M")) } { (dates::clock(time, lang)) } }
}

fn emphasis(badges: &[Badge]) -> &'static str {
    if badges.contains(&Badge::Emergency) {
        " is-emergency"
    } else if badges.iter().any(|badge| matches!(badge, Badge::OutsideTeam | Badge::Unjustified)) {
        " is-warning"
    } else if badges.contains(&Badge::New) {
        " is-new"
    } else {
        ""
    }
}

/// One line, as an element of a list.
fn line(day: &Day, line: &Line, lang: Lang) -> Markup {
    html! {
        li class={ "event" (emphasis(&line.badges)) } id={ "n" (line.index) } {
            p class="when" { (moment(day, line.time, lang)) }
            div class="said" {
                (said(line, lang))
                p class="more" {
                    a href={ "/trace/" (line.index) } { (w::SEE_LINE.of(lang)) (unseen(w::of_line(line.index, lang))) }
                }
            }
        }
    }
}

/// The sentence of a line, with its remarks and badges.
pub(super) fn said(line: &Line, lang: Lang) -> Markup {
    html! {
        p { @if let Some(who) = &line.who { strong { (who) } " " } (line.sentence) }
        @if let Some(happened) = &line.happened { p class="remark" { (w::HAPPENED.of(lang)) " " (happened) "." } }
        @if let Some(origin) = &line.origin { p class="remark" { (w::DEPOSITED_BY.of(lang)) " " (origin) "." } }
        (badges(&line.badges, lang))
    }
}

/// Accesses that programs made by themselves on that day: folded, named, counted.
fn folded(day: &Day, episodes: &[&Episode], lang: Lang) -> Markup {
    let count = episodes.iter().map(|one| one.lines.len()).sum::<usize>();
    let names = names(episodes);
    html! {
        li class="event is-automatic" {
            p class="when" {}
            div class="said" {
                details class="lines" {
                    summary {
                        (counted(u64::try_from(count).unwrap_or(u64::MAX), w::AUTOMATIC, lang))
                        @if let Some(names) = names { (w::COLON.of(lang)) (names) }
                    }
                    p class="remark" { (w::AUTOMATIC_HELP.of(lang)) }
                    ol { @for one in episodes { @for one in &one.lines { (line(day, one, lang)) } } }
                }
            }
        }
    }
}

/// Names in a summary of automatic accesses; the others are inside.
const NAMED_MAX: usize = 3;

/// Who acted, without what stands in brackets behind a name; the lines inside say all.
fn names(episodes: &[&Episode]) -> Option<Phrase> {
    let mut names: Vec<&str> = Vec::new();
    for one in episodes {
        let who = one.who.as_ref().or_else(|| one.lines.first()?.who.as_ref());
        let name = who.map(|who| who.as_str().split(" (").next().unwrap_or_default()).unwrap_or_default();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    let more = if names.len() > NAMED_MAX { ", …" } else { "" };
    names.truncate(NAMED_MAX);
    (!names.is_empty()).then(|| Phrase::from(format!("{}{more}", names.join(", "))))
}

fn paging(view: &TraceView, lang: Lang) -> Markup {
    html! {
        @if view.older.is_some() || view.newer.is_some() {
            nav class="paging" aria-label=(common::PAGES.of(lang)) {
                @if let Some(newer) = &view.newer { a class="newer" rel="prev" href=(newer) { (w::NEWER.of(lang)) } }
                @if let Some(older) = &view.older { a class="older" rel="next" href=(older) { (w::OLDER.of(lang)) } }
            }
        }
    }
}

/// The badges of this page, explained.
fn legend(view: &TraceView, lang: Lang) -> Markup {
    let episodes = || view.days.iter().flat_map(|day| &day.episodes);
    let shown = |badge: &Badge| {
        episodes().any(|one| one.badges.contains(badge) || one.lines.iter().any(|line| line.badges.contains(badge)))
    };
    let all: Vec<Badge> = Badge::ALL.into_iter().filter(shown).collect();
    html! {
        @if !all.is_empty() {
            details class="legend" {
                summary { (w::BADGES_HEAD.of(lang)) }
                dl { @for badge in all {
                    div {
                        dt { span class={ "badge " (super::parts::class_of(badge)) } { (common::badge(badge).of(lang)) } }
                        dd { (common::badge_help(badge).of(lang)) }
                    }
                } }
            }
        }
    }
}
