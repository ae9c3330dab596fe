use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::import::{PatientMap, fixture_files, map};

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

/// There and back: the value is the same, and so is a second XML.
fn there_and_back(json: &[u8]) -> String {
    let xml = to_xml(json).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)));
    let back = to_json(xml.as_bytes()).unwrap_or_else(|error| panic!("{error}: {xml}"));
    assert_eq!(value(&back), serde_json::from_slice::<Value>(json).expect("JSON"), "{xml}");
    assert_eq!(to_xml(back.as_bytes()).expect("again"), xml);
    xml
}

#[test]
fn every_published_resource_of_r4_is_the_same_after_xml() {
    let Some(files) = fixture_files() else { return };
    let demo = PatientMap::empty(true);
    let mut mapped = 0;
    for path in files {
        let json = std::fs::read(&path).expect("readable");
        if path.to_string_lossy().contains("negative") {
            let error = to_xml(&json).expect_err("an older version");
            assert!(error.path.starts_with("AuditEvent.") && error.reason.contains("in FHIR R4"), "{error}");
            continue;
        }
        let back = to_json(there_and_back(&json).as_bytes()).expect("read above");
        // Equal but for the hash of its bytes: the document is another text.
        let records = |json: &[u8]| {
            let all = map(json, &demo).map(|all| all.len());
            all.map_err(|error| error.to_string())
        };
        assert_eq!(records(back.as_bytes()), records(&json), "{}", path.display());
        mapped += usize::from(records(&json).is_ok());
    }
    assert!(mapped >= 7, "{mapped}");
}

#[test]
fn xml_that_another_program_wrote_says_what_its_json_says() {
    let Some(files) = fixture_files() else { return };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/xml/published");
    let mut compared = 0;
    for path in files {
        let json = std::fs::read_to_string(&path).expect("readable");
        let name = path.with_extension("xml");
        let Ok(xml) = std::fs::read(folder.join(name.file_name().expect("a name"))) else { continue };
        let ours = to_json(&xml).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
        assert_eq!(value(&ours), value(&json), "{}", name.display());
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
}

/// All that JSON and XML write in different ways.
fn all_sorts() -> Value {
    json!({
        "resourceType": "Bundle", "id": "b", "type": "batch", "total": 2,
        "entry": [{
            "fullUrl": "urn:uuid:1",
            "resource": {
                "resourceType": "AuditEvent",
                "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &lt; b<br/>é</p></div>"},
                "contained": [
                    {"resourceType": "Patient", "id": "p", "name": [{"given": ["A", "B"], "_given": [null, {"id": "x"}]}]},
                    {"resourceType": "Organization", "id": "o", "name": "O'Neill & \"fils\" <x>"}
                ],
                "extension": [
                    {"url": "urn:a", "valueDecimal": 0},
                    {"url": "urn:b", "extension": [{"url": "urn:c", "valueString": "tab\tline\nreturn\r end "}]}
                ],
                "type": {"system": "urn:s", "code": "rest"},
                "recorded": "2026-03-02T09:00:00Z",
                "_recorded": {"id": "r", "extension": [{"url": "urn:why", "valueCode": "x"}]},
                "agent": [
                    {"who": {"reference": "#o"}, "requestor": true, "policy": ["urn:p:1", "urn:p:2"]},
                    {"requestor": false, "_policy": [{"extension": [{"url": "urn:none", "valueBoolean": false}]}]}
                ],
                "source": {"observer": {"display": "s"}},
                "entity": [{"detail": [{"type": "t", "valueString": "v"}, {"type": "u", "valueBase64Binary": "AAAA"}]}]
            },
            "request": {"method": "POST", "url": "AuditEvent"}
        }]
    })
}

#[test]
fn extensions_lists_choices_narratives_and_contained_resources_come_back() {
    let xml = there_and_back(all_sorts().to_string().as_bytes());
    for part in [
        "<given value=\"A\"></given><given id=\"x\" value=\"B\"></given>",
        "<policy><extension url=\"urn:none\"><valueBoolean value=\"false\"></valueBoolean></extension></policy>",
        "<contained><Patient><id value=\"p\">",
        "tab&#9;line&#10;return&#13; end ",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &lt; b<br/>é</p></div>",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
}

#[test]
fn a_decimal_keeps_its_text() {
    for text in ["1.10", "-0.00", "1e2", "100000000000000000.000000000000000001"] {
        let json =
            format!("{{\"resourceType\":\"Parameters\",\"parameter\":[{{\"name\":\"n\",\"valueDecimal\":{text}}}]}}");
        let back = to_json(to_xml(json.as_bytes()).expect("written").as_bytes()).expect("read");
        assert_eq!(back, json);
    }
}

/// An AuditEvent around some XML.
fn event(inside: &str) -> String {
    format!("<AuditEvent xmlns=\"http://hl7.org/fhir\">{inside}</AuditEvent>")
}

#[test]
fn xml_as_others_write_it_is_read() {
    let expected = json!({"resourceType": "AuditEvent", "outcome": "0", "subtype": [{"code": "é"}]});
    for xml in [
        event("<subtype><code value='&#233;'/></subtype><outcome value=\"0\"/>"),
        format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{}\n", event("<outcome value=\"0\"/> <!-- c -->\n<subtype>\n<code value=\"é\"></code></subtype>")),
        "<f:AuditEvent xmlns:f=\"http://hl7.org/fhir\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir x.xsd\"><f:subtype><f:code value=\"&#xe9;\"/></f:subtype><f:outcome value=\"0\"/></f:AuditEvent>".to_owned(),
    ] {
        assert_eq!(value(&to_json(xml.as_bytes()).unwrap_or_else(|error| panic!("{error}: {xml}"))), expected);
    }
    let div = "<AuditEvent xmlns=\"http://hl7.org/fhir\" xmlns:h=\"http://www.w3.org/1999/xhtml\"><text><status value=\"empty\"/><h:div>x</h:div></text></AuditEvent>";
    assert_eq!(to_json(div.as_bytes()).expect_err("a prefix").path, "AuditEvent.text.div");
}

#[test]
fn what_fhir_has_not_is_refused_with_its_path() {
    let deep = format!("{}{}", "<extension url=\"a\">".repeat(70), "</extension>".repeat(70));
    for (inside, path, reason) in [
        ("<color value=\"red\"/>", "AuditEvent.color", "not an element"),
        ("<outcome value=\"0\" xml:lang=\"fr\"/>", "AuditEvent.outcome.@xml:lang", "no attribute"),
        ("<outcome valeur=\"0\"/>", "AuditEvent.outcome.@valeur", "no attribute"),
        ("<outcome value=\"0\"/><outcome value=\"4\"/>", "AuditEvent.outcome", "twice"),
        ("<outcome/>", "AuditEvent.outcome", "empty"),
        ("<outcome value=\"\"/>", "AuditEvent.outcome", "empty"),
        ("<outcome>0</outcome>", "AuditEvent.outcome", "text"),
        ("<agent><requestor value=\"yes\"/></agent>", "AuditEvent.agent[0].requestor", "true or false"),
        ("<agent/>", "AuditEvent.agent[0]", "empty"),
        ("<agent><who xmlns=\"urn:x\"/></agent>", "AuditEvent.agent[0].who", "namespace"),
        ("<text><status value=\"empty\"/><div>x</div></text>", "AuditEvent.text.div", "XHTML"),
        ("<contained><Claim><id value=\"1\"/></Claim></contained>", "AuditEvent.contained[0]", "JSON"),
        ("<contained/>", "AuditEvent.contained[0]", "one resource"),
        (
            "<extension url=\"a\"><valueCode value=\"x\"/><valueString value=\"y\"/></extension>",
            "AuditEvent.extension[0].valueString",
            "second value",
        ),
        ("<outcomeDesc value=\"&e;\"/>", "AuditEvent.outcomeDesc", "entity"),
        ("<outcomeDesc value=\"&#1;\"/>", "AuditEvent.outcomeDesc", "character"),
        ("<outcomeDesc value=\"a<b\"/>", "AuditEvent.outcomeDesc", "well-formed"),
        ("<?php x?>", "AuditEvent", "processing instruction"),
        ("<![CDATA[x]]>", "AuditEvent", "CDATA"),
        ("<agent></source>", "AuditEvent.agent", "well-formed"),
        (deep.as_str(), "", "levels"),
    ] {
        let error = to_json(event(inside).as_bytes()).expect_err(inside);
        assert!(error.reason.contains(reason), "{inside}: {error}");
        assert!(error.path == path || path.is_empty(), "{inside}: {error}");
    }
    for (xml, reason) in [
        ("<!DOCTYPE a [<!ENTITY e \"x\">]><AuditEvent xmlns=\"http://hl7.org/fhir\"/>", "DOCTYPE"),
        ("<AuditEvent><outcome value=\"0\"/></AuditEvent>", "namespace"),
        ("<AuditEvent xmlns=\"http://hl7.org/fhir\"><outcome value=\"0\"/>", "ends before"),
        ("<a/><b/>", "beside the root"),
        ("", "isn't XML"),
        ("x", "outside"),
        ("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><a/>", "UTF-8"),
        (" <?xml version=\"1.0\"?><a/>", "first"),
        ("<a>\u{1}</a>", "hold"),
        ("<p:a/>", "well-formed"),
    ] {
        let error = to_json(xml.as_bytes()).expect_err(xml);
        assert!(error.reason.contains(reason), "{xml}: {error}");
    }
    let many: String = (0..100).map(|i| format!(" a{i}=\"1\"")).collect();
    assert!(to_json(event(&format!("<outcome{many}/>")).as_bytes()).expect_err("many").reason.contains("attributes"));
}

#[test]
fn json_that_fhir_has_not_isnt_written() {
    for (json, path) in [
        (json!({"resourceType": "AuditEvent", "color": 1}), "AuditEvent.color"),
        (json!({"resourceType": "AuditEvent", "outcome": 1}), "AuditEvent.outcome"),
        (json!({"resourceType": "AuditEvent", "agent": {"requestor": true}}), "AuditEvent.agent"),
        (json!({"resourceType": "AuditEvent", "agent": []}), "AuditEvent.agent"),
        (json!({"resourceType": "AuditEvent", "agent": [{}]}), "AuditEvent.agent[0]"),
        (json!({"resourceType": "AuditEvent", "agent": [{"policy": [null]}]}), "AuditEvent.agent[0].policy[0]"),
        (json!({"resourceType": "AuditEvent", "outcomeDesc": "\u{1}"}), "AuditEvent.outcomeDesc"),
        (json!({"resourceType": "AuditEvent", "text": {"div": "<div>x</div>"}}), "AuditEvent.text.div"),
        (json!({"resourceType": "AuditEvent", "_agent": []}), "AuditEvent._agent"),
        (json!({"resourceType": "Bundle", "total": -1}), "Bundle.total"),
        (json!({"resourceType": "Claim"}), "Claim"),
        (json!([]), ""),
        (json!({"outcome": "0"}), ""),
    ] {
        let error = to_xml(json.to_string().as_bytes()).expect_err(path);
        assert_eq!(error.path, path, "{json}: {error}");
    }
    assert!(
        to_xml(b"{\"resourceType\":\"AuditEvent\",\"id\":\"a\",\"id\":\"b\"}")
            .expect_err("twice")
            .reason
            .contains("twice")
    );
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    assert!(to_xml(deep.as_bytes()).expect_err("deep").reason.contains("levels"));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{1,40}") {
        let json = json!({"resourceType": "AuditEvent", "outcomeDesc": text, "agent": [{"policy": ["urn:a", text]}]});
        there_and_back(json.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _read = to_json(&bytes);
        let _written = to_xml(&bytes);
    }

    #[test]
    fn no_change_of_a_document_makes_it_fall_over(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut xml = to_xml(all_sorts().to_string().as_bytes()).expect("written").into_bytes();
        let at = at.index(xml.len());
        if cut { xml.truncate(at) } else { xml[at] = byte }
        if let Ok(json) = to_json(&xml) {
            there_and_back(json.as_bytes());
        }
    }
}
