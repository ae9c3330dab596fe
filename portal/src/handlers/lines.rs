//! From the log's lines to what a page shows of them. The sentences are those of `sillage trace`; the time, which stands beside a line
//! on a page, is taken from their beginning.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use sillage_client::parts::Access;
use sillage_client::trace::TracedLine;
use sillage_rules::entry::Flags;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::record::ParsedRecord;
use sillage_words::fold::{Folded, fold, said};
use sillage_words::names::{item_name, short_who, who};
use sillage_words::sentence::{authorisation, sentence};
use sillage_words::time::spoken;
use sillage_words::{Event, Lang};

use crate::view::Text;
use crate::view::trace::{Badge, Day, Episode, Line};

/// A moment in Paris.
pub fn in_paris(ms: u64) -> (Date, Time) {
    let timestamp = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    let zone = TimeZone::get("Europe/Paris").expect("the zone rules are part of the program");
    let zoned = timestamp.to_zoned(zone);
    (zoned.date(), zoned.time())
}

/// When an event happened, ms.
fn happened_ms(event: &Event) -> u64 {
    match (&event.decision, &event.record) {
        (Some(decision), _) => decision.at_ms,
        (None, Some(record)) => record.occurred_at_ms,
        (None, None) => event.recorded_at_ms,
    }
}

/// Who did it, as the sentence names them.
fn actor_of(event: &Event, lang: Lang) -> Option<String> {
    let record = match (&event.decision, &event.record) {
        (Some(decision), _) => sillage_proto::v1::Record { actor: decision.actor.clone(), ..Default::default() },
        (None, Some(record)) => record.clone(),
        (None, None) => return None,
    };
    Some(who(&record, lang)).filter(|who| !who.is_empty())
}

/// The sentence without its time: the name first, where it begins with one, then the rest.
fn told(event: &Event, lang: Lang) -> (Option<String>, String) {
    let whole = sentence(event, lang);
    let when = spoken(happened_ms(event), lang);
    let rest = match lang {
        Lang::Fr => whole.strip_prefix(&format!("Le {when}, ")),
        Lang::En => whole.strip_prefix(&format!("On {when}, ")),
    };
    let Some(rest) = rest else { return (None, whole) };
    let named = actor_of(event, lang).and_then(|who| Some((who.clone(), rest.strip_prefix(&format!("{who} "))?)));
    match named {
        Some((who, rest)) => (Some(capital(&who)), rest.to_owned()),
        None => (None, capital(rest)),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn badges(event: &Event) -> Vec<Badge> {
    let flags = event.flags;
    let record = event.record.as_ref();
    let by_break_glass = record
        .and_then(|record| record.basis.as_ref())
        .is_some_and(|basis| basis.kind() == sillage_proto::v1::BasisKind::Breakglass);
    let failed = record.is_some_and(|record| {
        use sillage_proto::v1::Outcome;
        authorisation(record) == Some(false) || !matches!(record.outcome(), Outcome::Unspecified | Outcome::Success)
    });
    let denied = event.decision.as_ref().is_some_and(|decision| {
        !decision.outcomes.is_empty() && decision.outcomes.iter().all(|(_, permit, _)| !permit)
    });
    let all = [
        (Badge::Emergency, event.kind.group() == Group::Emergency || by_break_glass),
        (Badge::Refused, failed || denied),
        (Badge::Unjustified, flags.unjustified_reason().is_some()),
        (Badge::RecordedLate, event.flags().contains(Flags::LATE)),
        (Badge::Voided, event.voided.is_some()),
        (Badge::Secret, event.secret),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(badge, _)| badge).collect()
}

/// Who deposited the documents, as the record says.
fn origin(event: &Event) -> Option<Text> {
    let items = event.record.iter().flat_map(|record| &record.items);
    let mut all: Vec<&str> = items.map(|item| item.depositor.as_str()).filter(|own| !own.is_empty()).collect();
    all.sort_unstable();
    all.dedup();
    let named: Vec<&str> = all.iter().map(|name| sillage_words::phrase::short_id(name)).take(3).collect();
    (!named.is_empty()).then(|| named.join(", ").into())
}

/// One line of the page.
pub fn line(event: &Event, note: &str, lang: Lang) -> Line {
    let (who, rest) = told(event, lang);
    let ((day, time), (happened_day, _)) = (in_paris(event.recorded_at_ms), in_paris(happened_ms(event)));
    Line {
        index: event.index,
        time,
        who: who.map(Text::from),
        sentence: format!("{rest}{note}").into(),
        happened: (day != happened_day).then(|| spoken(happened_ms(event), lang).into()),
        origin: origin(event),
        badges: badges(event),
    }
}

/// Accesses of one person, of one kind and by one right, that follow each other on a day, as long as none of them needs to catch the eye by
/// itself.
fn is_alike(a: &Event, b: &Event) -> bool {
    let key = |event: &Event| {
        let record = event.record.as_ref()?;
        let actor = record.actor.as_ref()?;
        let is_access = event.kind.is_access() && event.erased.is_none();
        is_access.then(|| (actor.system.clone(), actor.id.clone(), actor.organisation.clone(), record.purpose.clone()))
    };
    let (first, second) = (key(a), key(b));
    first.is_some() && first == second && a.kind == b.kind && badges(a) == badges(b)
}

/// The sentence of several accesses.
fn several(events: &[&Event], lang: Lang) -> (Option<Text>, Text) {
    let first = events[0];
    let items: Vec<String> = events
        .iter()
        .flat_map(|event| event.record.iter().flat_map(|record| &record.items))
        .map(|item| item_name(item, lang))
        .collect();
    let name = first.record.as_ref().and_then(|record| record.actor.as_ref()).map(|actor| short_who(actor, lang));
    let verb = sillage_words::words::verb(first.kind, lang);
    let count = items.len().max(events.len());
    let text = match lang {
        Lang::Fr => format!("{verb} {count} documents."),
        Lang::En => format!("{verb} {count} documents."),
    };
    (name.map(|name| capital(&name).into()), text.into())
}

/// The lines of a page by day, then by episode, newest first.
pub fn days(accesses: &[Access<'_>], lang: Lang) -> Vec<Day> {
    let events: Vec<Event> = accesses.iter().map(Access::event).collect();
    let note = |index: u64| {
        let access = accesses.iter().find(|access| access.first().line.entry.index.get() == index);
        access.map(|access| access.note(lang)).unwrap_or_default()
    };
    let mut out: Vec<Day> = Vec::new();
    let folded = fold(&events);
    let mut at = 0;
    while let Some(first) = folded.get(at) {
        let episode = match first {
            Folded::Readings(readings) => {
                at += 1;
                let lines = readings.iter().map(|event| line(event, "", lang)).collect();
                let (who, sentence) = (None, said(readings, lang).into());
                (readings[0].recorded_at_ms, Episode { who, sentence, badges: Vec::new(), lines, automatic: true })
            }
            Folded::One(event) => {
                let day = in_paris(event.recorded_at_ms).0;
                let same = folded[at..].iter().map_while(|next| match next {
                    Folded::One(next) if in_paris(next.recorded_at_ms).0 == day => Some(*next),
                    _ => None,
                });
                let alike: Vec<&Event> =
                    same.enumerate().take_while(|(n, next)| *n == 0 || is_alike(event, next)).map(|(_, e)| e).collect();
                at += alike.len();
                let lines: Vec<Line> = alike.iter().map(|event| line(event, &note(event.index), lang)).collect();
                let (who, sentence) = match alike.len() {
                    1 => (lines[0].who.clone(), lines[0].sentence.clone()),
                    _ => several(&alike, lang),
                };
                let automatic = event.kind == Kind::LOG_CONSULTED && event.flags.contains(Flags::LEDGER);
                let episode = Episode { who, sentence, badges: badges(event), lines, automatic };
                (event.recorded_at_ms, episode)
            }
        };
        let date = in_paris(episode.0).0;
        match out.last_mut() {
            Some(day) if day.date == date => day.episodes.push(episode.1),
            _ => out.push(Day { date, episodes: vec![episode.1] }),
        }
    }
    out
}

/// The actor of a line, where it names one.
pub fn actor(line: &TracedLine) -> Option<sillage_proto::v1::Actor> {
    match (&line.line.record, &line.line.decision) {
        (Some(record), _) => ParsedRecord::message(record).actor.clone(),
        (None, Some(decision)) => decision.actor_part().actor.clone(),
        (None, None) => None,
    }
}
