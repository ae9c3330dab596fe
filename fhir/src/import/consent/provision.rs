//! `Consent.provision`: from FHIR's elements to a rule, or the path of what a rule can't say.

use serde_json::Value;
use sillage_rules::consent::{Action, Effect, Grantee};
use sillage_rules::ident::spelling;
use sillage_rules::limits::{OCCURRED_AT_MS_MAX, TOKEN_BYTES_MAX};

use super::super::FhirError;
use super::super::dates::{end_ms, start_ms};
use super::super::read::{codings, list, own_flag, text};
use super::actor::Actors;
use super::codes;
use super::rule::{Rule, Values};
use super::{DIRECTIVES_MAX, EXTENSION_ANYONE, EXTENSION_INSIDE, EXTENSION_LEFT_OUT, extensions, modifiers};

type Parsed<T> = Result<T, FhirError>;

/// One provision as it stands, without its inner ones. `effect`: of a provision that has no `type`.
pub(super) fn rule(provision: &Value, path: &str, effect: Option<Effect>, actors: &Actors) -> Parsed<Rule> {
    let effect = match text(provision, "type") {
        "permit" => Effect::Permit,
        "deny" => Effect::Deny,
        _ => effect.ok_or_else(|| FhirError::new(format!("{path}.type"), "neither permit nor deny"))?,
    };
    refuse_the_rest(provision, path)?;
    let (from_ms, until_ms) = period(&provision["period"], &format!("{path}.period"))?;
    let mut rule = Rule {
        grantees: grantees(provision, path, effect, actors)?,
        actions: actions(provision, path, effect)?,
        labels: coded(provision, "securityLabel", path, codes::label)?,
        purposes: coded(provision, "purpose", path, codes::purpose)?,
        categories: coded(provision, "class", path, codes::category)?,
        items: items(provision, path, actors)?,
        from_ms,
        until_ms,
        // As `extension` in exports of before.
        counts_inside_only: own_flag(
            extensions(provision, EXTENSION_INSIDE).chain(modifiers(provision, EXTENSION_INSIDE)),
            path,
        )?,
        ..Rule::new(path, effect)
    };
    // Our own export names what the directive left out, so that other readers see it.
    for left_out in extensions(provision, EXTENSION_LEFT_OUT) {
        match text(left_out, "valueCode") {
            "purpose" => rule.purposes = None,
            "action" => rule.actions = None,
            "actor" => rule.is_for_nobody_named = true,
            "period.start" if rule.until_ms.is_none() => rule.from_ms = None,
            _ => {}
        }
    }
    Ok(rule)
}

/// Elements that say what a directive has no word for.
fn refuse_the_rest(provision: &Value, path: &str) -> Parsed<()> {
    if provision.get("dataPeriod").is_some() {
        let why = "when the data were made is no condition of a directive";
        return Err(FhirError::new(format!("{path}.dataPeriod"), why));
    }
    if provision.get("code").is_some() {
        let why = "codes inside of the data are no condition of a directive: class and securityLabel are";
        return Err(FhirError::new(format!("{path}.code"), why));
    }
    Ok(())
}

fn grantees(provision: &Value, path: &str, effect: Effect, actors: &Actors) -> Parsed<Option<Vec<Grantee>>> {
    if own_flag(extensions(provision, EXTENSION_ANYONE), path)? {
        return Ok(Some(vec![Grantee::Anyone]));
    }
    let listed = list(provision, "actor");
    if listed.is_empty() {
        return Ok(None);
    }
    let mut out: Vec<Grantee> = Vec::new();
    for (i, actor) in listed.iter().enumerate() {
        for grantee in actors.grantees(actor, &format!("{path}.actor[{i}]"), effect)? {
            if !out.contains(&grantee) {
                out.push(grantee);
            }
            if out.len() > DIRECTIVES_MAX {
                let why = format!("over {DIRECTIVES_MAX} of them: at most so many directives of one Consent");
                return Err(FhirError::new(format!("{path}.actor"), why));
            }
        }
    }
    Ok(Some(out))
}

/// Both ends of a period, the end as the first moment after it.
fn period(period: &Value, path: &str) -> Parsed<(Option<u64>, Option<u64>)> {
    let bound = |name: &str, read: fn(&str) -> Option<i64>| match text(period, name) {
        "" => Ok(None),
        written => match read(written) {
            Some(ms) => Ok(Some(ms)),
            None => Err(FhirError::new(format!("{path}.{name}"), "not a time of the years 1 to 9999")),
        },
    };
    let (from, until) = (bound("start", start_ms)?, bound("end", end_ms)?);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err(FhirError::new(path, "ends before it starts"));
    }
    // A directive counts from 1970 on; what ends after the last time that it can name never ends.
    let from = from.map(|ms| u64::try_from(ms).unwrap_or(0).min(OCCURRED_AT_MS_MAX));
    let until = until.map(|ms| u64::try_from(ms).unwrap_or(0).max(1));
    Ok((from, until.filter(|ms| *ms <= OCCURRED_AT_MS_MAX)))
}

/// A list of codings, each of which names one value.
fn coded(provision: &Value, name: &str, path: &str, read: fn(&Value) -> Option<&str>) -> Parsed<Values> {
    let listed = list(provision, name);
    let one = |(i, coding): (usize, &Value)| {
        let at = format!("{path}.{name}[{i}]");
        let value = read(coding).ok_or_else(|| unknown(&at, coding))?;
        token(value, &at)
    };
    let values: Vec<String> = listed.iter().enumerate().map(one).collect::<Parsed<_>>()?;
    Ok((!values.is_empty()).then_some(values))
}

/// Actions: concepts, each in one or more code systems.
fn actions(provision: &Value, path: &str, effect: Effect) -> Parsed<Option<Vec<Action>>> {
    let listed = list(provision, "action");
    let mut actions = Vec::new();
    for (i, concept) in listed.iter().enumerate() {
        let at = format!("{path}.action[{i}]");
        // The same concept in several systems: ours says exactly what is meant.
        let ours =
            codings(concept).filter(|coding| text(coding, "system") == codes::OUR_ACTIONS).find_map(codes::actions);
        let found = match ours {
            Some(ours) => ours,
            None => all_said(concept, effect).ok_or_else(|| ambiguous(&at))?,
        };
        let nothing = Value::Null;
        let first = codings(concept).next().unwrap_or(&nothing);
        if found.is_empty() {
            return Err(unknown(&at, first));
        }
        actions.extend(found);
    }
    Ok((!actions.is_empty()).then_some(actions))
}

/// The actions that the codes of one concept mean together: all of it in a denial; none where a permit doesn't say the same in each.
fn all_said(concept: &Value, effect: Effect) -> Option<Vec<Action>> {
    let mut known = codings(concept).filter_map(codes::actions);
    let first = known.next().unwrap_or_default();
    match effect {
        Effect::Permit => known.all(|other| other == first).then_some(first),
        Effect::Deny => {
            let mut all = first;
            known.flatten().for_each(|more| {
                if !all.contains(&more) {
                    all.push(more);
                }
            });
            Some(with_all_looking(all))
        }
    }
}

fn ambiguous(at: &str) -> FhirError {
    FhirError::new(at, "the codes of one action say different things: which is permitted? Give each its own action")
}

/// A denial of retrieval denies it however it is done.
fn with_all_looking(mut actions: Vec<Action>) -> Vec<Action> {
    let looks = [Action::Read, Action::Search].iter().all(|action| actions.contains(action));
    let more = [Action::Download, Action::Print].into_iter().filter(|more| looks && !actions.contains(more));
    let more: Vec<Action> = more.collect();
    actions.extend(more);
    actions
}

fn items(provision: &Value, path: &str, actors: &Actors) -> Parsed<Values> {
    let listed = list(provision, "data");
    let mut values = Vec::new();
    for (i, data) in listed.iter().enumerate() {
        let at = format!("{path}.data[{i}]");
        match text(data, "meaning") {
            "instance" => {}
            other => {
                let why = format!("{other}: a directive names items, not what they have to do with something else");
                return Err(FhirError::new(format!("{at}.meaning"), why));
            }
        }
        values.push(actors.item(&data["reference"], &format!("{at}.reference"))?);
    }
    Ok((!values.is_empty()).then_some(values))
}

fn unknown(at: &str, coding: &Value) -> FhirError {
    let (system, code) = (text(coding, "system"), text(coding, "code"));
    let why = match (system, code) {
        ("", "") => "no code".to_owned(),
        ("", code) => format!("the code {code} has no system"),
        (system, code) => format!("{system}|{code} isn't known here: docs/fhir.md lists the codes"),
    };
    FhirError::new(at, why)
}

/// A word of a directive.
fn token(value: &str, at: &str) -> Parsed<String> {
    let fits = value.len() <= TOKEN_BYTES_MAX && !value.contains(char::is_control) && value.trim() == value;
    match fits {
        true => spelling::word(value).map_err(|error| FhirError::new(at, error.to_string())),
        false => Err(FhirError::new(at, format!("a code here is one line of at most {TOKEN_BYTES_MAX} bytes"))),
    }
}
