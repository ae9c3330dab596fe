//! `POST /Consent/$decide`: may this actor do this with these documents of this patient?
//!
//! The question is Parameters: `patient`, `actor`, `purpose`, `action` and one or more `item`. So is the answer: `decision`, what
//! became of each item, `obligation`s, and the receipt, which a record store checks before it gives anything out. A document
//! that the actor may not know of, and one that doesn't exist, have the same answer: `not-found`.
//!
//! While no node answers, the emergency mode decides by the establishment's own rules: then `emergency` is true, and there is no
//! receipt.

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sillage_client::authorize::receipt::ReceiptFile;
use sillage_client::authorize::{Ask, Authorizer, Granted};
use sillage_client::emergency_mode::{Decided, LocalAsk};
use sillage_client::error::ClientError;
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::consent::name::PROFESSIONAL_SYSTEM;
use sillage_rules::ident::{Checks, Ins, Rpps, Source as IdentSource};
use sillage_rules::line::PatientLine;
use sillage_rules::time::TimeMs;

use super::parameters::{Given, at, group, identifier_of, parts_of, resource, value, wrong};
use super::request::Request;
use super::{Api, of_client};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::Issue;

/// The parameters that are understood.
pub(super) const PARAMETERS: [&str; 10] = [
    "patient",
    "actor",
    "profession",
    "organization",
    "purpose",
    "action",
    "item",
    "authentication",
    "context",
    "request",
];
/// Documents of one question.
const ITEMS_MAX: usize = 256;

/// Asks, and gives the answer that a node signed.
pub(super) async fn answer(api: &Arc<Api>, _caller: &Caller, request: &Request) -> Answer {
    let ask = match Given::of(request).and_then(|given| ask(&given, api.test_log)) {
        Ok(ask) => ask,
        Err(answer) => return answer,
    };
    let asked: Vec<String> = ask.items.iter().map(|item| item.id.clone()).collect();
    match by_the_ledger(api, ask.clone(), &asked).await {
        Err(ClientError::Unavailable(_)) => match api.emergency.decide(&local(ask)).await {
            Ok(decided) => Answer::resource(StatusCode::OK, said_locally(&decided)),
            Err(error) => of_client(&error),
        },
        Err(error) => of_client(&error),
        Ok(answer) => answer,
    }
}

/// The ledger decides.
async fn by_the_ledger(api: &Api, ask: Ask, asked: &[String]) -> Result<Answer, ClientError> {
    let session = api.ledger.urgent().await?;
    let mut answers = Authorizer::open(&session).await?.authorize(vec![ask]).await?;
    Ok(match answers.pop() {
        None => Answer::issue(StatusCode::BAD_GATEWAY, Issue::error("exception", "no answer came: ask again")),
        Some(Err(rejection)) => Answer::issue(StatusCode::UNPROCESSABLE_ENTITY, Issue::of_ledger(&rejection)),
        Some(Ok(granted)) => {
            let file = ReceiptFile { origin: session.origin.clone(), receipts: granted.receipts.clone() };
            Answer::resource(StatusCode::OK, said(&granted, asked, &file))
        }
    })
}

/// The same question to the emergency mode.
fn local(ask: Ask) -> LocalAsk {
    let v1::PatientIdentity { ins, oid } = ask.patient;
    LocalAsk {
        patient: PatientLine { ins, oid },
        actor: ask.actor.into(),
        action: ask.action,
        purpose: ask.purpose,
        items: ask.items,
        secret: false,
    }
}

/// The answer of the emergency mode. It has no receipt; and what isn't permitted looks as if it weren't there.
fn said_locally(decided: &Decided) -> Value {
    let permitted = decided.items.iter().filter(|item| item.permit).count();
    let decision = match permitted {
        0 => "deny",
        some if some == decided.items.len() => "permit",
        _ => "partial",
    };
    let mut out = vec![value("decision", "Code", decision), value("emergency", "Boolean", true)];
    for item in &decided.items {
        let one = if item.permit { "permit" } else { "not-found" };
        let id = v1::Item::from(item.item.clone()).id;
        out.push(group("item", vec![value("id", "String", id), value("decision", "Code", one)]));
    }
    resource(out)
}

/// The question.
fn ask(given: &Given<'_>, test_log: bool) -> Result<Ask, Answer> {
    given.only(&PARAMETERS)?;
    let patient = patient(given, test_log)?;
    let (actor, _) = actor(given, "actor")?;
    let items = given.all("item").map(item).collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() || items.len() > ITEMS_MAX {
        let why = format!("name 1 to {ITEMS_MAX} documents");
        return Err(wrong("required", &at("item"), &why));
    }
    let correlation = match (given.text("context")?, given.text("request")?) {
        (None, None) => None,
        (context, request) => Some(v1::Correlation {
            launch_context: context.unwrap_or_default().to_owned(),
            ids: request.map(str::to_owned).into_iter().collect(),
        }),
    };
    Ok(Ask {
        patient,
        actor,
        auth: authentication(given)?,
        action: given.needed("action")?.to_owned(),
        purpose: given.needed("purpose")?.to_owned(),
        items,
        correlation,
    })
}

/// Whose documents.
pub(super) fn patient(given: &Given<'_>, test_log: bool) -> Result<v1::PatientIdentity, Answer> {
    let found = given.identifier("patient")?;
    let (system, value) = found.ok_or_else(|| {
        wrong("required", &at("patient"), "the parameter `patient` is missing: an Identifier with the INS and its OID")
    })?;
    let oid = system.strip_prefix("urn:oid:").unwrap_or(&system);
    let oid = if oid.is_empty() { DEFAULT_OID } else { oid };
    let checks = Checks { test_log, source: IdentSource::Direct };
    let (ins, _doubt) = Ins::check(&value, oid, checks)
        .map_err(|error| wrong("value", &at("patient"), &format!("{}: {error}", error.code())))?;
    Ok(v1::PatientIdentity { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() })
}

/// Who acts: an identifier, with profession, structure and label beside it.
pub(super) fn actor(given: &Given<'_>, name: &str) -> Result<(v1::Actor, ActorName), Answer> {
    let found = given.identifier(name)?;
    let (system, id) = found.ok_or_else(|| {
        wrong(
            "required",
            &at(name),
            "the actor is missing: an Identifier such as urn:oid:1.2.250.1.71.4.2.1 and an RPPS number",
        )
    })?;
    let system = match system.as_str() {
        "" if Rpps::parse(&id).is_ok() => PROFESSIONAL_SYSTEM.to_owned(),
        system => system.to_owned(),
    };
    let named = ActorName::spelled(&system, &id)
        .map_err(|error| wrong("value", &at(name), &format!("{}: {error}", error.code)))?;
    let label = given.one(name)?.and_then(|actor| actor["valueReference"]["display"].as_str());
    let actor = v1::Actor {
        system: named.system().to_owned(),
        id: named.id().to_owned(),
        role: given.text("profession")?.unwrap_or_default().to_owned(),
        organisation: match given.identifier("organization")? {
            Some((system, value)) if !system.is_empty() => format!("{system}|{value}"),
            Some((_, value)) => value,
            None => String::new(),
        },
        label: label.unwrap_or_default().to_owned(),
    };
    Ok((actor, named))
}

/// How the actor proved who they are.
pub(super) fn authentication(given: &Given<'_>) -> Result<Option<v1::Authentication>, Answer> {
    let Some(parts) = given.within("authentication")? else { return Ok(None) };
    parts.only(&["issuer", "method", "eidas-level"])?;
    let text = |name| parts.text(name).map(|text| text.unwrap_or_default().to_owned());
    Ok(Some(v1::Authentication { issuer: text("issuer")?, method: text("method")?, eidas_level: text("eidas-level")? }))
}

fn item(parameter: &Value) -> Result<v1::Item, Answer> {
    let parts = parts_of(parameter);
    let missing =
        || wrong("value", &at("item"), "an item has an id: a Reference, an Identifier, a string, or the part `id`");
    let whole = |(system, value): (String, String)| if system.is_empty() { value } else { format!("{system}|{value}") };
    let id = match parts.text("id")? {
        Some(id) => id.to_owned(),
        None => identifier_of(parameter).map(whole).ok_or_else(missing)?,
    };
    let labels = parts.all("label").map(|label| {
        let code = label["valueCode"].as_str().or_else(|| label["valueString"].as_str());
        code.or_else(|| label["valueCoding"]["code"].as_str()).map(str::to_owned).ok_or_else(missing)
    });
    Ok(v1::Item {
        id,
        category: parts.text("category")?.unwrap_or_default().to_owned(),
        labels: labels.collect::<Result<_, _>>()?,
        depositor: parts.text("depositor")?.unwrap_or_default().to_owned(),
        ..v1::Item::default()
    })
}

/// The answer.
fn said(granted: &Granted, asked: &[String], file: &ReceiptFile) -> Value {
    let one = |id: &String| match (granted.permitted.contains(id), granted.told.contains(id)) {
        (true, _) => "permit",
        (false, true) => "deny",
        (false, false) => "not-found",
    };
    let decision = match asked.iter().filter(|id| granted.permitted.contains(id)).count() {
        0 => "deny",
        some if some == asked.len() => "permit",
        _ => "partial",
    };
    let mut out = vec![value("decision", "Code", decision)];
    for id in asked {
        out.push(group("item", vec![value("id", "String", id.as_str()), value("decision", "Code", one(id))]));
    }
    out.extend(granted.obligations.iter().map(|obligation| value("obligation", "Code", obligation.as_str())));
    if let Some(expires) = granted.expires_at_ms() {
        out.push(value("expires", "Instant", TimeMs(expires).to_string()));
    }
    out.extend(granted.receipts.iter().map(|receipt| value("index", "String", receipt.message.index.to_string())));
    out.push(value("receipt", "Base64Binary", STANDARD.encode(file.encode())));
    resource(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderMap, Method};
    use serde_json::json;

    fn parse(parameters: Value) -> Result<Ask, Answer> {
        let mut request =
            Request::of_head(Method::POST, "/Consent/$decide", None, &HeaderMap::new()).expect("a request");
        request.body = Some(json!({"resourceType": "Parameters", "parameter": parameters}));
        Given::of(&request).and_then(|given| ask(&given, true))
    }

    fn whole() -> Vec<Value> {
        vec![
            json!({"name": "patient", "valueIdentifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989"}}),
            json!({"name": "actor", "valueReference": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}}}),
            json!({"name": "profession", "valueCode": "physician"}),
            json!({"name": "purpose", "valueCoding": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}}),
            json!({"name": "action", "valueCode": "read"}),
            json!({"name": "item", "valueReference": {"reference": "DocumentReference/1"}}),
            json!({"name": "item", "part": [{"name": "id", "valueString": "d2"}, {"name": "category", "valueCode": "REPORT"},
                {"name": "label", "valueCode": "PSY"}]}),
        ]
    }

    #[test]
    fn the_question_is_read_whole() {
        let ask = parse(json!(whole())).expect("a question");
        assert_eq!((ask.action.as_str(), ask.purpose.as_str()), ("read", "TREAT"));
        assert_eq!(ask.actor.role, "physician");
        let ids: Vec<&str> = ask.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["DocumentReference/1", "d2"]);
        assert_eq!(ask.items[1].labels, ["PSY"]);
    }

    #[test]
    fn what_is_missing_twice_or_not_understood_is_refused_with_its_place() {
        for at in 0..5 {
            if at == 2 {
                continue;
            }
            let mut parameters = whole();
            let name = parameters.remove(at)["name"].as_str().expect("a name").to_owned();
            let answer = parse(json!(parameters)).expect_err("missing");
            let text = answer.resource.expect("an outcome").to_string();
            assert!(text.contains(&format!("name = '{name}'")), "{text}");
            let mut parameters = whole();
            parameters.push(parameters[at].clone());
            assert_eq!(parse(json!(parameters)).expect_err("twice").status, StatusCode::BAD_REQUEST);
        }
        let mut parameters = whole();
        parameters.push(json!({"name": "unless", "valueBoolean": true}));
        assert_eq!(parse(json!(parameters)).expect_err("not understood").status, StatusCode::BAD_REQUEST);
        assert!(parse(json!([])).is_err());
        assert!(parse(json!("x")).is_err());
    }

    #[test]
    fn masked_and_missing_look_alike() {
        let granted = Granted {
            receipts: vec![],
            permitted: vec!["a".into()],
            told: vec!["a".into(), "b".into()],
            obligations: vec!["JUSTIFY".into()],
        };
        let file = ReceiptFile {
            origin: sillage_proof::batch::Origin::new("sillage.example/log").expect("a name"),
            receipts: vec![],
        };
        let out = said(&granted, &["a", "b", "masked", "missing"].map(str::to_owned), &file).to_string();
        assert!(out.contains("\"partial\""));
        let decision =
            |id: &str| out.split(&format!("\"{id}\"")).nth(1).expect(id).split('}').nth(1).expect("a part").to_owned();
        assert_eq!(decision("masked"), decision("missing"));
        assert!(decision("b").contains("deny"));
    }
}
