//! A request, as it came over HTTP or as an entry of a batch says it.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::http::answer::Answer;
use crate::http::outcome::Issue;

/// Most parameters of a search, and bytes of one.
const PARAMETERS_MAX: usize = 64;
const PARAMETER_BYTES_MAX: usize = 4_096;

/// What an answer to a change is to hold (`Prefer: return=…`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Return {
    /// Status and headers.
    Minimal,
    /// The resource.
    #[default]
    Representation,
    /// An OperationOutcome.
    Outcome,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below the base, in its decoded parts.
    pub path: Vec<String>,
    /// The parameters, in their order: of the URL, and of the form of a `_search`.
    pub parameters: Vec<(String, String)>,
    /// The body as it came, unpacked.
    pub raw: Bytes,
    /// The resource in it.
    pub body: Option<Value>,
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-None-Exist`.
    pub if_none_exist: Option<String>,
    /// `Prefer: return=…`.
    pub wanted: Return,
    /// `Prefer: handling=strict`: a parameter that isn't understood is refused.
    pub is_strict: bool,
}

impl Request {
    /// Of the head of an HTTP request; `path` is below the base.
    ///
    /// # Errors
    /// `400` where the path or a parameter can't be read.
    pub fn of_head(method: Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Result<Self, Answer> {
        let text =
            |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut request = Self::of_target(method, path, query)?;
        request.if_match = text(header::IF_MATCH);
        request.if_none_match = text(header::IF_NONE_MATCH);
        request.if_none_exist = text(header::HeaderName::from_static("if-none-exist"));
        let prefer = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for word in prefer.flat_map(|value| value.split([',', ';'])) {
            match word.trim() {
                "return=minimal" => request.wanted = Return::Minimal,
                "return=representation" => request.wanted = Return::Representation,
                "return=OperationOutcome" => request.wanted = Return::Outcome,
                "handling=strict" => request.is_strict = true,
                _ => {}
            }
        }
        Ok(request)
    }

    /// Of method and target alone.
    fn of_target(method: Method, path: &str, query: Option<&str>) -> Result<Self, Answer> {
        let unreadable = || Answer::bad("structure", "the URL holds what isn't UTF-8 after decoding: encode it again");
        let parts = path.split('/').filter(|part| !part.is_empty());
        let path = parts.map(|part| decoded(part, false)).collect::<Option<Vec<String>>>().ok_or_else(unreadable)?;
        let parameters = form(query.unwrap_or_default()).ok_or_else(unreadable)?;
        check_parameters(&parameters)?;
        Ok(Self {
            method,
            path,
            parameters,
            raw: Bytes::new(),
            body: None,
            if_match: None,
            if_none_match: None,
            if_none_exist: None,
            wanted: Return::default(),
            is_strict: false,
        })
    }

    /// Of an entry of a batch. `base` is the server's own.
    ///
    /// # Errors
    /// `400` where the entry says no request.
    pub fn of_entry(entry: &Value, base: &str) -> Result<Self, Answer> {
        let asked = &entry["request"];
        let text = |name: &str| asked[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let missing = |path: &str, why: &str| {
            Answer::issue(
                StatusCode::BAD_REQUEST,
                Issue::error("required", why).at(format!("Bundle.entry.request.{path}")),
            )
        };
        let method =
            text("method").ok_or_else(|| missing("method", "an entry of a batch says its method, such as POST"))?;
        let method = match method.as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "DELETE" => Method::DELETE,
            "HEAD" => Method::HEAD,
            "PATCH" => Method::PATCH,
            _ => return Err(missing("method", "this is no method of FHIR: GET, HEAD, POST, PUT, DELETE or PATCH")),
        };
        let url = text("url").ok_or_else(|| missing("url", "an entry of a batch says its url, such as AuditEvent"))?;
        let target = url.strip_prefix(base).unwrap_or(&url);
        if target.contains("://") {
            return Err(missing(
                "url",
                "the url is of another server: write it relative to the base, such as AuditEvent",
            ));
        }
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut request = Self::of_target(method, path, query)?;
        request.if_match = text("ifMatch");
        request.if_none_match = text("ifNoneMatch");
        request.if_none_exist = text("ifNoneExist");
        request.wanted = Return::Minimal;
        if let Some(resource) = entry.get("resource") {
            request.raw = serde_json::to_vec(resource).map_err(|_| missing("resource", "it can't be read"))?.into();
            request.body = Some(resource.clone());
        }
        Ok(request)
    }

    /// The first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Its path in parts.
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// Adds the parameters of a form.
    ///
    /// # Errors
    /// `400`.
    pub fn add_form(&mut self, bytes: &[u8]) -> Result<(), Answer> {
        let unreadable = || Answer::bad("structure", "the form isn't UTF-8 after decoding: encode it again");
        let text = std::str::from_utf8(bytes).map_err(|_| unreadable())?;
        self.parameters.extend(form(text.trim()).ok_or_else(unreadable)?);
        check_parameters(&self.parameters)
    }
}

fn check_parameters(parameters: &[(String, String)]) -> Result<(), Answer> {
    if parameters.len() > PARAMETERS_MAX {
        return Err(Answer::bad("too-costly", format!("more than {PARAMETERS_MAX} parameters: ask for less at once")));
    }
    match parameters.iter().any(|(name, value)| name.len() + value.len() > PARAMETER_BYTES_MAX) {
        true => Err(Answer::bad("too-long", format!("a parameter is over {PARAMETER_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

/// The parts of `application/x-www-form-urlencoded`; none where one isn't UTF-8.
pub fn form(text: &str) -> Option<Vec<(String, String)>> {
    let one = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name, true)?, decoded(value, true)?))
    };
    text.split('&').filter(|part| !part.is_empty()).map(one).collect()
}

/// Decodes `%41`, and in a form `+`.
fn decoded(text: &str, is_form: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if is_form => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Encodes a part of a query.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["urn:oid:1.2|x y&z=é+%", "", "a,b"] {
            assert_eq!(form(&format!("p={}", encoded(text))), Some(vec![("p".to_owned(), text.to_owned())]));
        }
        assert_eq!(decoded("a%4", true), None);
        assert_eq!(decoded("%ff", true), None);
        assert_eq!(decoded("a+b", false).as_deref(), Some("a+b"));
    }

    #[test]
    fn an_entry_of_a_batch_is_a_request() {
        let base = "https://h.example/fhir";
        let entry =
            |url: &str| json!({"request": {"method": "POST", "url": url}, "resource": {"resourceType": "AuditEvent"}});
        for url in ["AuditEvent", "/AuditEvent", "https://h.example/fhir/AuditEvent"] {
            assert_eq!(Request::of_entry(&entry(url), base).expect("a request").parts(), ["AuditEvent"]);
        }
        let other = Request::of_entry(&entry("https://other.example/fhir/AuditEvent"), base);
        assert_eq!(other.expect_err("another server").status, StatusCode::BAD_REQUEST);
        assert!(Request::of_entry(&json!({"resource": {}}), base).is_err());
        let odd = json!({"request": {"method": "TRACE", "url": "AuditEvent"}});
        assert!(Request::of_entry(&odd, base).is_err());
    }
}
