//! `POST /$break-glass`: opened in an emergency, justified and closed afterwards.
//!
//! The record goes through the spool like any other, so nothing is lost, and a repetition of a request that names an `id` opens
//! nothing twice. While no node answers, it goes into the log of the emergency mode instead (`202`), whose decisions know it at
//! once.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sillage_client::clock::now_ms;
use sillage_client::consent::change::{Fields, new_id};
use sillage_rules::line::{ActorLine, AuthLine, RecordLine};
use sillage_rules::time::TimeMs;

use super::decide::{actor, authentication, patient};
use super::opened;
use super::parameters::{Given, at, resource, value, wrong};
use super::request::Request;
use super::{Api, of_client};
use crate::arrival::{Place, Taken};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::index::State;

/// The parameters that are understood.
pub(super) const PARAMETERS: [&str; 16] = [
    "operation",
    "id",
    "patient",
    "actor",
    "profession",
    "organization",
    "authentication",
    "case",
    "reason",
    "text",
    "expires",
    "minutes",
    "search",
    "position",
    "no-position",
    "continues",
];

/// The longest that `minutes` may say. The policy of the log may allow less.
const MINUTES_MAX: u64 = 7 * 24 * 60;

/// Opens, justifies or closes.
pub(super) async fn answer(api: &Arc<Api>, caller: &Caller, request: &Request) -> Answer {
    let given = match Given::of(request) {
        Ok(given) => given,
        Err(answer) => return answer,
    };
    let (line, id, named) = match line(&given, api.test_log) {
        Ok(line) => line,
        Err(answer) => return answer,
    };
    if api.emergency.is_away().await {
        return kept_locally(api, &line, &id).await;
    }
    let mut asked = request.clone();
    if !named {
        // Two emergencies may be asked for in the same words: without an id, each request is one.
        asked.raw = line.to_string().into();
    }
    match api.take(caller, &asked, line, false).await {
        Err(answer) => answer,
        Ok(Taken::Spooled { number, .. }) => {
            let mut answer = api.accepted(number);
            answer.resource = Some(resource(vec![value("id", "String", id), value("state", "Code", "kept")]));
            answer
        }
        Ok(Taken::Recorded { id: place, first_index, repeated }) => {
            let id = match repeated {
                false => id,
                true => match first_id(api, &place.0).await {
                    Ok(first) => first.unwrap_or(id),
                    Err(answer) => return answer,
                },
            };
            let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
            Answer::resource(
                status,
                resource(vec![
                    value("id", "String", id),
                    value("state", "Code", "recorded"),
                    value("index", "String", first_index.to_string()),
                ]),
            )
        }
    }
}

/// In the log of the emergency mode, whose decisions know it at once. It is handed in when the nodes are back.
async fn kept_locally(api: &Api, line: &Value, id: &str) -> Answer {
    let parsed = match RecordLine::parse(line.to_string().as_bytes()) {
        Ok(parsed) => parsed,
        Err(error) => return wrong("value", "Parameters", &error.to_string()),
    };
    match api.emergency.record(parsed).await {
        Err(error) => of_client(&error),
        Ok(_number) => Answer::resource(
            StatusCode::ACCEPTED,
            resource(vec![
                value("id", "String", id),
                value("state", "Code", "kept"),
                value("emergency", "Boolean", true),
            ]),
        ),
    }
}

/// The id that was given the first time.
async fn first_id(api: &Api, place: &str) -> Result<Option<String>, Answer> {
    let found = Place::parse(place).and_then(|place| api.index.at(&place).ok().flatten());
    let Some(State::Recorded(recorded)) = found.map(|found| found.state) else { return Ok(None) };
    let session = api.ledger.session().await.map_err(|error| of_client(&error))?;
    let parts = opened::parts(&session, &recorded).await.map_err(|error| of_client(&error))?;
    let details = parts.open.first().and_then(|part| serde_json::from_str::<Value>(&part.record.details).ok());
    let text = |details: &Value, name: &str| details[name].as_str().map(str::to_owned);
    Ok(details.and_then(|details| text(&details, "id").or_else(|| text(&details, "breakglass"))))
}

/// The record line, the id of the emergency, and whether the caller named it.
fn line(given: &Given<'_>, test_log: bool) -> Result<(Value, String, bool), Answer> {
    given.only(&PARAMETERS)?;
    let operation = given.needed("operation")?;
    let id = given.text("id")?.map(str::to_owned);
    let named = id.is_some();
    let fresh = || new_id("bg").map_err(|error| of_client(&error));
    let (kind, id, details) = match operation {
        "open" => {
            let id = match id {
                Some(id) => id,
                None => fresh()?,
            };
            ("breakglass.opened", id.clone(), opened_details(given, &id)?)
        }
        "justify" => {
            let id = given.needed("id")?.to_owned();
            let details = Fields::default().with("breakglass", &id).with("text", given.needed("text")?);
            ("breakglass.justified", id, details.into_value())
        }
        "close" => {
            let id = given.needed("id")?.to_owned();
            ("breakglass.closed", id.clone(), json!({"breakglass": id}))
        }
        _ => return Err(wrong("value", &at("operation"), "open, justify or close")),
    };
    let (actor, _) = actor(given, "actor")?;
    let mut line = json!({
        "kind": kind, "actor": ActorLine::from(actor), "occurred_at": TimeMs(now_ms()).to_string(), "details": details,
    });
    if given.one("patient")?.is_some() {
        let patient = patient(given, test_log)?;
        line["patient"] = json!({"ins": patient.ins, "oid": patient.oid});
    }
    if let Some(auth) = authentication(given)? {
        line["auth"] = json!(AuthLine::from(auth));
    }
    Ok((line, id, named))
}

fn opened_details(given: &Given<'_>, id: &str) -> Result<Value, Answer> {
    let expires = match (given.text("expires")?, given.one("minutes")?) {
        (Some(expires), None) => {
            let time: TimeMs = expires
                .parse()
                .map_err(|_| wrong("value", &at("expires"), "write a time such as 2026-03-02T11:00:00Z"))?;
            time.0
        }
        (None, Some(minutes)) => {
            let minutes = ["valueInteger", "valuePositiveInt", "valueUnsignedInt"]
                .iter()
                .find_map(|kind| minutes[*kind].as_u64());
            let minutes = minutes.filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
            let minutes = minutes.ok_or_else(|| {
                wrong("value", &at("minutes"), &format!("a whole number from 1 to {MINUTES_MAX}, as valuePositiveInt"))
            })?;
            now_ms().saturating_add(minutes * 60_000)
        }
        _ => return Err(wrong("required", &at("expires"), "say how long it lasts: either `expires` or `minutes`")),
    };
    let position = match given.within("position")? {
        None => None,
        Some(parts) => {
            parts.only(&["latitude", "longitude", "accuracy-m", "source", "at"])?;
            let number = |name| {
                let value = parts.one(name)?.and_then(|part| part["valueDecimal"].as_f64());
                value.ok_or_else(|| wrong("value", &at("position"), &format!("the part `{name}` is a valueDecimal")))
            };
            let measured = parts.text("at")?.map_or_else(|| TimeMs(now_ms()).to_string(), str::to_owned);
            Some(json!({
                "lat": number("latitude")?, "lon": number("longitude")?, "accuracy_m": number("accuracy-m")?,
                "source": parts.needed("source")?, "at": measured,
            }))
        }
    };
    let absent = given.text("no-position")?;
    if position.is_some() == absent.is_some() {
        let why = "say where the actor is (`position`), or why that isn't known (`no-position`)";
        return Err(wrong("required", &at("position"), why));
    }
    let fields = Fields::default()
        .with("id", id)
        .with("case", given.needed("case")?)
        .with("reason", given.needed("reason")?)
        .maybe("text", given.text("text")?)
        .with("expires", TimeMs(expires).to_string())
        .maybe("search", given.text("search")?)
        .maybe("position", position)
        .maybe("no_position", absent)
        .maybe("continues", given.text("continues")?);
    Ok(fields.into_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderMap, Method};

    fn parse(parameters: Value) -> Result<(Value, String, bool), Answer> {
        let mut request = Request::of_head(Method::POST, "/$break-glass", None, &HeaderMap::new()).expect("a request");
        request.body = Some(json!({"resourceType": "Parameters", "parameter": parameters}));
        Given::of(&request).and_then(|given| line(&given, true))
    }

    fn open() -> Vec<Value> {
        vec![
            json!({"name": "operation", "valueCode": "open"}),
            json!({"name": "patient", "valueIdentifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989"}}),
            json!({"name": "actor", "valueIdentifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}}),
            json!({"name": "profession", "valueCode": "samu-regulator"}),
            json!({"name": "case", "valueCode": "SAMU"}),
            json!({"name": "reason", "valueString": "call 15"}),
            json!({"name": "minutes", "valuePositiveInt": 120}),
            json!({"name": "no-position", "valueCode": "INDOORS"}),
        ]
    }

    #[test]
    fn an_opening_is_a_line_that_the_command_line_would_take() {
        let (line, id, named) = parse(json!(open())).expect("a line");
        assert!(!named && line["details"]["id"] == id.as_str());
        let text = line.to_string();
        let parsed = RecordLine::parse(text.as_bytes()).expect("a record line");
        let record = parsed.to_record(Some(&[0xff; 32])).expect("a record");
        sillage_rules::consent::Event::of(&record).expect("its details are those of the kind").expect("it decides");
    }

    #[test]
    fn an_opening_says_where_or_why_not_and_until_when() {
        for (at, name) in [(7, "position"), (6, "expires"), (4, "case"), (5, "reason"), (2, "actor"), (0, "operation")]
        {
            let mut parameters = open();
            parameters.remove(at);
            let text = parse(json!(parameters)).expect_err(name).resource.expect("an outcome").to_string();
            assert!(text.contains(&format!("name = '{name}'")), "{text}");
        }
        let mut both = open();
        both.push(json!({"name": "expires", "valueInstant": "2026-03-02T11:00:00Z"}));
        assert!(parse(json!(both)).is_err());
        let mut long = open();
        long[6] = json!({"name": "minutes", "valuePositiveInt": 1_000_000});
        assert!(parse(json!(long)).is_err());
    }

    #[test]
    fn closing_and_justifying_name_the_emergency() {
        let actor = open()[2].clone();
        for (operation, more) in [("close", vec![]), ("justify", vec![json!({"name": "text", "valueString": "coma"})])]
        {
            let mut parameters = vec![json!({"name": "operation", "valueCode": operation}), actor.clone()];
            parameters.extend(more);
            assert!(parse(json!(parameters)).is_err(), "{operation} without an id");
            parameters.push(json!({"name": "id", "valueString": "bg1"}));
            let (line, id, named) = parse(json!(parameters)).expect(operation);
            assert!(named && id == "bg1" && line["details"]["breakglass"] == "bg1");
        }
    }
}
