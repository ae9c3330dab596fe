//! The records of a scenario: which fields each kind has, and what they take.

use sillage_rules::codes::Code;
use sillage_rules::consent::people::PROFESSIONALS;
use sillage_rules::consent::{Action, Case, Effect, Power, Relation};
use sillage_rules::kind::Kind;

use super::names::{Names, actions};
use super::read::{Table, Value};
use super::{Field, ScenarioRecord};

/// The form of a field's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Actor,
    /// An actor, a structure, a profession or `professionals`.
    Source,
    /// The id of a consent or a break-glass.
    Id,
    /// Items of the file; of a directive they stand in its details.
    Items,
    Token,
    Tokens,
    Time,
    Effect,
    Grantee,
    Actions,
    Cases,
    Case,
    Relation,
    Powers,
    Except,
}

/// A field of a kind: its name, what it takes, and whether the file must give it. Where a missing field is what a record
/// is refused for, the file may leave it out.
type Row = (&'static str, Takes, bool);

const PROVISION: &[Row] = &[
    ("effect", Takes::Effect, true),
    ("grantee", Takes::Grantee, false),
    ("actions", Takes::Actions, false),
    ("categories", Takes::Tokens, false),
    ("labels", Takes::Tokens, false),
    ("items", Takes::Items, false),
    ("purposes", Takes::Tokens, false),
    ("from", Takes::Time, false),
    ("until", Takes::Time, false),
];

const GRANTEE: &[Row] = &[
    ("professional", Takes::Actor, false),
    ("person", Takes::Actor, false),
    ("organisation", Takes::Token, false),
    ("profession", Takes::Token, false),
    ("app", Takes::Actor, false),
    ("project", Takes::Actor, false),
];

/// The kinds of a story, with their fields.
fn fields_of(kind: Kind) -> Option<Vec<Row>> {
    const PROFESSIONAL: &[Row] = &[("professional", Takes::Actor, true)];
    const ITEMS: &[Row] = &[("items", Takes::Items, true)];
    const CASES: &[Row] = &[("cases", Takes::Cases, true)];
    const FEED: &[Row] = &[("source", Takes::Source, true), ("category", Takes::Token, false)];
    let rows: &[Row] = match kind {
        Kind::CONSENT_DIRECTIVE => {
            let own = [("id", Takes::Id, true), ("supersedes", Takes::Id, false), ("except", Takes::Except, false)];
            return Some([PROVISION, &own].concat());
        }
        Kind::CONSENT_REVOKED => &[("consent", Takes::Id, true)],
        Kind::CARETEAM_JOINED => &[("professional", Takes::Actor, true), ("until", Takes::Time, false)],
        Kind::CARETEAM_LEFT
        | Kind::ATTENDING_DECLARED
        | Kind::ATTENDING_ENDED
        | Kind::PROFESSIONAL_BLOCKED
        | Kind::PROFESSIONAL_UNBLOCKED => PROFESSIONAL,
        Kind::EMERGENCY_OPPOSITION | Kind::EMERGENCY_OPPOSITION_LIFTED => CASES,
        Kind::ITEM_MASKED
        | Kind::ITEM_UNMASKED
        | Kind::ITEM_RELEASED
        | Kind::MINOR_SECRECY_SET
        | Kind::MINOR_SECRECY_LIFTED => ITEMS,
        Kind::ITEM_EMBARGOED => &[("items", Takes::Items, true), ("until", Takes::Time, false)],
        Kind::FEED_OPPOSED | Kind::FEED_OPPOSITION_LIFTED => FEED,
        Kind::REPRESENTATION_REGISTERED => &[
            ("representative", Takes::Actor, true),
            ("relation", Takes::Relation, true),
            ("powers", Takes::Powers, false),
            ("from", Takes::Time, false),
            ("until", Takes::Time, false),
        ],
        Kind::REPRESENTATION_ENDED => &[("representative", Takes::Actor, true)],
        Kind::SPACE_OPENED | Kind::SPACE_OPPOSED | Kind::SPACE_CLOSED => &[],
        Kind::KEY_REVOKED => &[("actor", Takes::Actor, true)],
        Kind::BREAKGLASS_OPENED => &[
            ("id", Takes::Id, true),
            ("actor", Takes::Actor, false),
            ("case", Takes::Case, false),
            ("reason", Takes::Token, false),
            ("expires", Takes::Time, false),
        ],
        Kind::BREAKGLASS_CLOSED => &[("breakglass", Takes::Id, true)],
        _ => return None,
    };
    Some(rows.to_vec())
}

/// Reads one `[[records]]`.
pub(super) fn record(table: Table<'_, '_>, names: &Names<'_>) -> Option<ScenarioRecord> {
    let reader = table.reader;
    let kind = table.text("kind")?;
    let known = Kind::from_token(kind.text).ok().and_then(|kind| Some((kind, fields_of(kind)?)));
    let Some((kind, rows)) = known else {
        let all: Vec<_> =
            Kind::ALL.iter().filter(|kind| fields_of(**kind).is_some()).map(|kind| kind.token()).collect();
        reader.error(kind.line, format!("`kind` is one of {}, and not {:?}", all.join(", "), kind.text));
        return None;
    };
    let common = ["kind", "at", "patient", "by", "refused"];
    table.only(&[&common[..], &rows.iter().map(|row| row.0).collect::<Vec<_>>()].concat());
    let at = match table.get("at") {
        Some(value) => reader.time("at", value),
        None => Some(names.clock),
    };
    let patient = match kind {
        Kind::KEY_REVOKED => table.optional_text("patient"),
        _ => table.text("patient"),
    };
    let patient = patient.map(|text| names.patient(table, text));
    let by = table.optional_text("by").map(|text| names.actor(table, text));
    let refused = table.optional_text("refused").map(|text| {
        let code = Code::from_name(text.text);
        if code.is_none() {
            reader
                .error(text.line, format!("no record is refused with {:?}: docs/errors.md lists the codes", text.text));
        }
        code
    });
    let mut fields = fields(table, names, &rows)?;
    let items = match kind {
        Kind::CONSENT_DIRECTIVE => Vec::new(),
        _ => take_items(&mut fields),
    };
    let patient = match patient {
        Some(patient) => Some(patient?),
        None if kind == Kind::KEY_REVOKED => None,
        None => return None,
    };
    let by = match by {
        Some(by) => by?,
        None => patient.clone().unwrap_or_default(),
    };
    let refused = match refused {
        Some(code) => Some(code?),
        None => None,
    };
    Some(ScenarioRecord { line: table.line, at: at?, kind, patient, by, fields, items, refused })
}

fn take_items(fields: &mut Vec<(String, Field)>) -> Vec<String> {
    let place = fields.iter().position(|(name, _)| name == "items");
    let Some((_, Field::List(items))) = place.map(|place| fields.remove(place)) else {
        return Vec::new();
    };
    items.into_iter().filter_map(|item| if let Field::Item(id) = item { Some(id) } else { None }).collect()
}

/// Every field that the table gives, as its kind takes it.
fn fields(table: Table<'_, '_>, names: &Names<'_>, rows: &[Row]) -> Option<Vec<(String, Field)>> {
    let mut good = true;
    let mut fields = Vec::new();
    for (name, takes, required) in rows {
        let value = if *required { table.required(name) } else { table.get(name) };
        let Some(value) = value else {
            good &= !required;
            continue;
        };
        match field(table, names, name, *takes, value) {
            Some(field) => fields.push(((*name).to_owned(), field)),
            None => good = false,
        }
    }
    good.then_some(fields)
}

fn field(
    table: Table<'_, '_>,
    names: &Names<'_>,
    name: &'static str,
    takes: Takes,
    value: &Value<'_>,
) -> Option<Field> {
    let reader = table.reader;
    let text = || reader.text(name, value);
    let texts = |texts: Vec<&str>| Field::List(texts.into_iter().map(|text| Field::Text(text.to_owned())).collect());
    Some(match takes {
        Takes::Actor => Field::Actor(names.actor(table, text()?)?),
        Takes::Source => match text()? {
            source if source.text == PROFESSIONALS => Field::Text(source.text.to_owned()),
            source if names.actors.contains_key(source.text) => Field::Actor(source.text.to_owned()),
            source => Field::Text(source.text.to_owned()),
        },
        Takes::Id => Field::Id(text()?.text.to_owned()),
        Takes::Token => Field::Text(text()?.text.to_owned()),
        Takes::Tokens => texts(reader.texts(name, value)?.into_iter().map(|text| text.text).collect()),
        Takes::Items => {
            let ids = reader.texts(name, value)?.into_iter().map(|text| names.item(table, text));
            Field::List(ids.map(|id| id.map(Field::Item)).collect::<Option<_>>()?)
        }
        Takes::Time => Field::Time(reader.time(name, value)?),
        Takes::Effect => Field::Text(reader.token(name, text()?, Effect::ALL, Effect::as_str)?.as_str().to_owned()),
        Takes::Case => Field::Text(reader.token(name, text()?, Case::ALL, Case::as_str)?.as_str().to_owned()),
        Takes::Relation => {
            Field::Text(reader.token(name, text()?, Relation::ALL, Relation::as_str)?.as_str().to_owned())
        }
        Takes::Actions => texts(actions(reader, value)?.into_iter().map(Action::as_str).collect()),
        Takes::Cases => {
            let cases = reader.texts(name, value)?.into_iter();
            let cases = cases.map(|text| reader.token(name, text, Case::ALL, Case::as_str).map(Case::as_str));
            texts(cases.collect::<Option<_>>()?)
        }
        Takes::Powers => {
            let powers = reader.texts(name, value)?.into_iter();
            let powers = powers.map(|text| reader.token(name, text, Power::ALL, Power::as_str).map(Power::as_str));
            texts(powers.collect::<Option<_>>()?)
        }
        Takes::Grantee => grantee(table, names, value)?,
        Takes::Except => {
            let tables = reader.list(name, value)?.into_iter().map(|value| reader.table("an exception", value));
            let provision = |table: Table<'_, '_>| {
                table.only(&PROVISION.iter().map(|row| row.0).collect::<Vec<_>>());
                fields(table, names, PROVISION).map(Field::Table)
            };
            Field::List(tables.map(|table| table.and_then(provision)).collect::<Option<_>>()?)
        }
    })
}

fn grantee(table: Table<'_, '_>, names: &Names<'_>, value: &Value<'_>) -> Option<Field> {
    let reader = table.reader;
    if value.as_ref().as_str().is_some() {
        let text = reader.text("grantee", value)?;
        if text.text != "anyone" {
            reader.error(
                text.line,
                format!("`grantee` is \"anyone\" or a table that names who, and not {:?}", text.text),
            );
            return None;
        }
        return Some(Field::Text(text.text.to_owned()));
    }
    let keys = reader.table("grantee", value)?;
    keys.only(&GRANTEE.iter().map(|row| row.0).collect::<Vec<_>>());
    fields(keys, names, GRANTEE).map(Field::Table)
}
