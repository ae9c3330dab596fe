//! The StructureDefinitions of our extensions and the OperationDefinitions of our operations, as `docs/fhir/` has them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::answer::Answer;

/// The Bundles of all of them, which are compiled in.
const STRUCTURES: &str = include_str!("../../../docs/fhir/structure-definitions.json");
const OPERATIONS: &str = include_str!("../../../docs/fhir/operation-definitions.json");

/// Those of a type; none of another type.
fn definitions(kind: &str) -> Option<Vec<Value>> {
    let text = match kind {
        "StructureDefinition" => STRUCTURES,
        "OperationDefinition" => OPERATIONS,
        _ => return None,
    };
    let bundle: Value = serde_json::from_str(text).expect("a test reads the file");
    Some(bundle["entry"].as_array().into_iter().flatten().map(|entry| entry["resource"].clone()).collect())
}

/// `GET /StructureDefinition` and `GET /OperationDefinition`; none for another type.
pub(super) fn all(base: &str, kind: &str) -> Option<Answer> {
    let entry = |resource: Value| {
        let url = format!("{base}/{kind}/{}", resource["id"].as_str().unwrap_or_default());
        json!({"fullUrl": url, "resource": resource, "search": {"mode": "match"}})
    };
    let entries: Vec<Value> = definitions(kind)?.into_iter().map(entry).collect();
    let link = json!([{"relation": "self", "url": format!("{base}/{kind}")}]);
    let bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entries});
    Some(Answer::resource(StatusCode::OK, bundle))
}

/// The one with this id; none of another type.
pub(super) fn one(kind: &str, id: &str) -> Option<Answer> {
    let found = definitions(kind)?.into_iter().find(|definition| definition["id"] == id);
    Some(found.map_or_else(Answer::not_found, |definition| Answer::resource(StatusCode::OK, definition)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_extension_of_the_page_has_its_definition_and_no_other() {
        let page = include_str!("../../../docs/fhir.md");
        let table = page.split("### Extensions").nth(1).expect("the chapter");
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let first = rows.map(|line| line.split('|').nth(1).expect("a column"));
        let named: BTreeSet<String> =
            first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
        let all = definitions("StructureDefinition").expect("they are known");
        let defined: BTreeSet<String> =
            all.iter().map(|definition| definition["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(named, defined);
    }

    #[test]
    fn an_operation_takes_the_parameters_of_its_definition() {
        let all = definitions("OperationDefinition").expect("they are known");
        for (id, taken) in
            [("decide", &super::super::decide::PARAMETERS[..]), ("break-glass", &super::super::break_glass::PARAMETERS)]
        {
            let one = all.iter().find(|definition| definition["id"] == id).expect(id);
            let parameters = one["parameter"].as_array().expect("parameters");
            let named: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["use"] == "in")
                .map(|parameter| parameter["name"].as_str().expect("a name"))
                .collect();
            assert_eq!(named, taken.iter().copied().collect(), "{id}");
        }
    }

    #[test]
    fn a_definition_is_found_by_its_id() {
        assert_eq!(one("StructureDefinition", "entry").map(|answer| answer.status), Some(StatusCode::OK));
        assert_eq!(one("StructureDefinition", "nothing").map(|answer| answer.status), Some(StatusCode::NOT_FOUND));
        assert_eq!(one("Patient", "1"), None);
        let bundle = all("http://h/fhir", "StructureDefinition").and_then(|answer| answer.resource).expect("a Bundle");
        assert!(bundle["entry"].as_array().expect("entries").len() > 20);
    }
}
