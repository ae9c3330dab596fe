//! FHIR in JSON and XML: which one a body is in, which one an answer is to be in, and both ways between.

use axum::http::HeaderMap;
use axum::http::header;
use serde_json::Value;
use sillage_fhir::import::FhirError;
use sillage_rules::json::check_names;

/// A format of FHIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/fhir+json`.
    Json,
    /// `application/fhir+xml`.
    Xml,
}

impl Format {
    /// The media type of answers.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json; charset=utf-8",
            Self::Xml => "application/fhir+xml; charset=utf-8",
        }
    }

    /// The one of a media type, without its parameters, or of a short name of `_format`.
    fn of_media_type(name: &str) -> Option<Self> {
        match name {
            "application/fhir+json" | "application/json" | "application/json+fhir" | "text/json" | "json" => {
                Some(Self::Json)
            }
            "application/fhir+xml" | "application/xml" | "application/xml+fhir" | "text/xml" | "xml" => Some(Self::Xml),
            _ => None,
        }
    }
}

/// Which version of FHIR a media type names, where it names another one than R4.
fn other_version(media_type: &str) -> bool {
    media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("fhirVersion") && !matches!(value.trim().trim_matches('"'), "4.0" | "4.0.1")
    })
}

/// The media type without its parameters, in small letters.
fn bare(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Why a format can't be had.
pub const ONLY: &str =
    "FHIR 4.0 as application/fhir+json or application/fhir+xml: no other version and no other format";

/// The format that an answer is to be in. `asked`: the parameter `_format`.
///
/// # Errors
/// None of those that are asked for is one of ours: `406`.
pub fn of_answer(asked: Option<&str>, headers: &HeaderMap) -> Result<Format, &'static str> {
    if let Some(asked) = asked {
        // A plus sign in a query is a space.
        let name = bare(&asked.replace(' ', "+"));
        return match other_version(asked) {
            true => Err(ONLY),
            false => Format::of_media_type(&name).ok_or(ONLY),
        };
    }
    let mut best: Option<(Format, f32)> = None;
    let mut is_asked = false;
    for accept in headers.get_all(header::ACCEPT) {
        for part in accept.to_str().unwrap_or_default().split(',').filter(|part| !part.trim().is_empty()) {
            is_asked = true;
            let weight = part.split(';').skip(1).filter_map(|parameter| parameter.trim().strip_prefix("q=")).next();
            let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            let format = match bare(part).as_str() {
                _ if other_version(part) => None,
                "*/*" | "application/*" => Some(Format::Json),
                name => Format::of_media_type(name),
            };
            if let Some(format) = format
                && weight > 0.0
                && best.is_none_or(|(_, known)| weight > known)
            {
                best = Some((format, weight));
            }
        }
    }
    match (best, is_asked) {
        (Some((format, _)), _) => Ok(format),
        (None, false) => Ok(Format::Json),
        (None, true) => Err(ONLY),
    }
}

/// The format that a body is in; JSON where nothing says.
///
/// # Errors
/// It says something else: `415`.
pub fn of_body(headers: &HeaderMap) -> Result<Format, &'static str> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(Format::Json) };
    let given = given.to_str().map_err(|_| ONLY)?;
    match other_version(given) {
        true => Err(ONLY),
        false => Format::of_media_type(&bare(given)).ok_or(ONLY),
    }
}

/// Values of one body, at most: they take many times the memory of their text.
pub const VALUES_MAX: usize = 200_000;
/// The memory that one of them takes as it is read, about.
pub const VALUE_BYTES: usize = 320;

/// How many values a body has, without reading it: at least as many as there are, and not many more.
pub fn values(bytes: &[u8], format: Format) -> usize {
    match format {
        Format::Json => {
            let (mut quoted, mut escaped, mut count) = (false, false, 1_usize);
            for byte in bytes {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' | b'[' | b',' if !quoted => count += 1,
                    _ => {}
                }
            }
            count
        }
        // An element begins with the one, an attribute has the other.
        Format::Xml => bytes.iter().filter(|byte| matches!(byte, b'<' | b'=')).count(),
    }
}

/// Reads a resource.
///
/// # Errors
/// Where and why it is none that can be read in one way.
pub fn read(bytes: &[u8], format: Format) -> Result<Value, FhirError> {
    match format {
        Format::Json => {
            let text = std::str::from_utf8(bytes).map_err(|_| FhirError::new("", "not UTF-8"))?;
            let text = text.trim_start_matches('\u{feff}');
            let value: Value =
                serde_json::from_str(text).map_err(|error| FhirError::new("", format!("not JSON: {error}")))?;
            check_names(text).map_err(|error| FhirError::new("", error.to_string()))?;
            Ok(value)
        }
        Format::Xml => {
            let json = sillage_fhir::xml::to_json(bytes);
            let json = json.map_err(|error| FhirError { path: error.path, reason: error.reason })?;
            read(json.as_bytes(), Format::Json)
        }
    }
}

/// Writes a resource.
///
/// # Errors
/// Why it can't be written.
pub fn write(resource: &Value, format: Format) -> Result<Vec<u8>, String> {
    match format {
        Format::Json => serde_json::to_vec(resource).map_err(|error| error.to_string()),
        Format::Xml => {
            let json = write(resource, Format::Json)?;
            sillage_fhir::xml::to_xml(&json).map(String::into_bytes).map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn accept(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))])
    }

    #[test]
    fn the_parameter_counts_before_the_header_and_the_heavier_before_the_lighter() {
        let html = accept("text/html, application/xml;q=0.8, */*;q=0.5");
        assert_eq!(of_answer(None, &html), Ok(Format::Xml));
        assert_eq!(of_answer(Some("json"), &html), Ok(Format::Json));
        assert_eq!(of_answer(Some("application/fhir xml"), &html), Ok(Format::Xml), "a plus sign of a query");
        assert_eq!(of_answer(None, &HeaderMap::new()), Ok(Format::Json));
        assert!(of_answer(None, &accept("text/csv")).is_err());
        assert!(of_answer(Some("turtle"), &html).is_err());
    }

    #[test]
    fn other_versions_of_fhir_are_refused() {
        for version in ["application/fhir+json; fhirVersion=5.0", "application/fhir+json;fhirversion=\"3.0\""] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(version))]);
            assert!(of_body(&headers).is_err(), "{version}");
        }
        let r4 = HeaderValue::from_static("application/fhir+json; fhirVersion=4.0; charset=utf-8");
        assert_eq!(of_body(&HeaderMap::from_iter([(header::CONTENT_TYPE, r4)])), Ok(Format::Json));
    }

    #[test]
    fn values_are_counted_before_they_are_read() {
        let count = |text: &str| values(text.as_bytes(), Format::Json);
        assert_eq!(count(r#"{"a":[1,2,{"b":null}],"c":"x"}"#), 7);
        assert_eq!(count(r#"{"a":"[[,,{{\"[,"}"#), 2, "text is no value");
        assert_eq!(count(r#"{"a":"\\","b":1}"#), 3, "an escape of an escape");
        let bomb = format!("[{}0]", r#"{"":0},"#.repeat(150_000));
        assert!(bomb.len() < 2 << 20 && count(&bomb) > VALUES_MAX);
        let xml = format!("<Bundle>{}</Bundle>", "<entry/>".repeat(VALUES_MAX));
        assert!(values(xml.as_bytes(), Format::Xml) > VALUES_MAX);
        assert!(values(br#"<AuditEvent><id value="1"/></AuditEvent>"#, Format::Xml) < 10);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let error = read(br#"{"resourceType":"AuditEvent","id":"1","id":"2"}"#, Format::Json).expect_err("twice");
        assert!(error.reason.contains("twice"), "{error}");
        assert!(read(b"{", Format::Json).is_err());
        assert!(read(b"\xff", Format::Json).is_err());
    }
}
