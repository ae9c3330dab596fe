//! Names of FHIR resources. The same resource goes by `DocumentReference/12` on its own server, and by
//! `https://h.example/fhir/DocumentReference/12` elsewhere.
//!
//! Whoever withholds a resource under one of these names withholds it under the other: a short name may be any server's.
//! Whoever permits it permits the name that they gave, and no other (`docs/consent.md`, "One spelling").

use std::borrow::Cow;

/// The feature level from which on names are compared as names of resources.
pub const FROM_LEVEL: u32 = 5;

/// A resource, as a name says it: brought to one form, so that another spelling of the same address makes no other resource. The scheme,
/// who logs in, a default port, a final dot of the host, capitals of the server, empty segments, `.` and `..`, and `%` before what
/// needs none say nothing about which resource it is. Nor do a version, a query and a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The server: what stands before type and id. Empty where the name says none.
    server: String,
    /// Type and id: `DocumentReference/12`.
    short: String,
}

impl Resource {
    /// Reads a name. None where it has no type and id at its end.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.find(['?', '#']).map_or(name, |at| &name[..at]);
        // Most names are none, and cost nothing more.
        if !name.contains('/') {
            return None;
        }
        let decoded = decoded(name);
        let (host, path) = match decoded.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?,
            None => ("", &decoded[..]),
        };
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        match segments[..] {
            [.., _, _, "_history", _] => segments.truncate(segments.len() - 2),
            [.., _, _, "_history"] => segments.truncate(segments.len() - 1),
            _ => {}
        }
        let [base @ .., kind, id] = &segments[..] else { return None };
        let is_type =
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_type {
            return None;
        }
        let host = bare_host(host);
        let mut server: Vec<&str> = if host.is_empty() { Vec::new() } else { vec![host] };
        server.extend(base);
        Some(Self { server: server.join("/").to_ascii_lowercase(), short: format!("{kind}/{id}") })
    }

    /// Type and id: what it is called on its own server.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// The server that the name says, in its one form; empty where it says none.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Tells whether both names may mean one resource: the same type and id, of the same server or of one that isn't said.
    pub fn may_be(&self, other: &Self) -> bool {
        let is_said = !self.server.is_empty() && !other.server.is_empty();
        self.short == other.short && (!is_said || self.server == other.server)
    }
}

/// The form of a server's base URL in which two of them are compared.
pub fn server_of_base(url: &str) -> String {
    // Any resource of that server names it.
    Resource::of(&format!("{}/Any/1", url.trim_end_matches('/'))).map(|resource| resource.server).unwrap_or_default()
}

/// The host, without who logs in there, a default port, and a final dot.
fn bare_host(host: &str) -> &str {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host);
    host.trim_end_matches(['.', ':'])
}

/// The name without `%` before characters that need none. What isn't such a character stays as it is.
fn decoded(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let byte = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| byte.is_ascii_graphic() && *byte != b'%') {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Tells whether two names may mean one thing: they are equal, or may be one resource.
pub fn may_be_one(one: &str, other: &str) -> bool {
    one == other || Resource::of(one).zip(Resource::of(other)).is_some_and(|(one, other)| one.may_be(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://h.example/fhir/DocumentReference/12";

    #[test]
    fn a_short_name_may_be_any_servers() {
        for name in [
            URL,
            "DocumentReference/12",
            "./DocumentReference/12/",
            "/DocumentReference/12",
            "DocumentReference/12/_history/3",
            "https://other.example/DocumentReference/12",
            "https://h.example/fhir/DocumentReference/12?_format=json",
            "6f1e0d/DocumentReference/12#x",
        ] {
            assert!(may_be_one("DocumentReference/12", name), "{name}");
            assert!(may_be_one(name, "DocumentReference/12"), "{name}");
        }
    }

    #[test]
    fn names_of_one_server_may_be_one_whatever_their_form() {
        for name in [
            "https://h.example/fhir/DocumentReference/12/_history/3",
            "https://H.example/fhir/DocumentReference/12/",
            "http://h.example/fhir/DocumentReference/12",
            "https://h.example:443/fhir/DocumentReference/12",
            "http://h.example:80/fhir/DocumentReference/12",
            "https://h.example./fhir/DocumentReference/12",
            "https://u:p@h.example/fhir/DocumentReference/12",
            "https://h.example//fhir/./DocumentReference//12",
            "https://h.example/x/../fhir/DocumentReference/12",
            "https://h.example/fhir/DocumentReference/%31%32",
            "https://h.example/%66hir/DocumentReference/12/_history",
        ] {
            assert!(may_be_one(URL, name), "{name}");
        }
    }

    #[test]
    fn other_servers_types_and_ids_are_others() {
        for name in [
            "https://other.example/fhir/DocumentReference/12",
            "https://h.example/DocumentReference/12",
            "DocumentReference/1",
            "DocumentReference/123",
            "MyDocumentReference/12",
            "Binary/12",
            "https://h.example:8443/fhir/DocumentReference/12",
            "https://h.example/_history/fhir/DocumentReference/12",
            "https://h.example/fhir/DocumentReference/%C3%A9",
            "12",
            "",
        ] {
            assert!(!may_be_one(URL, name), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_no_resource_equals_itself_alone() {
        for name in
            ["d1", "urn:uuid:0f0e0d0c", "documents/12", "https://h.example/docs/12", "Consent?identifier=a/B/1", "A/"]
        {
            assert_eq!(Resource::of(name), None, "{name}");
            assert!(may_be_one(name, name));
        }
    }
}
