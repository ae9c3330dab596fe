//! Names of FHIR resources. The same resource goes by `DocumentReference/12` on its own server, and by
//! `https://h.example/fhir/DocumentReference/12` elsewhere.
//!
//! Whoever withholds a resource under one of these names withholds it under the other: a short name may be any server's.
//! Whoever permits it permits the name that they gave, and no other (`docs/consent.md`, "One spelling").

/// A resource, as a name says it. It borrows from the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The server: what stands before type and id, without the `/` at its end. Empty where the name says none.
    server: &'a str,
    /// Type and id: `DocumentReference/12`.
    short: &'a str,
}

impl<'a> Resource<'a> {
    /// Reads a name. A version, a query, a fragment and a `/` at the end say nothing about which resource it is. None where the name
    /// has no type and id at its end.
    pub fn of(name: &'a str) -> Option<Self> {
        let name = name.find(['?', '#']).map_or(name, |at| &name[..at]);
        let name = name.find("/_history").map_or(name, |at| &name[..at]);
        let name = name.trim_end_matches('/');
        let name = name.strip_prefix("./").unwrap_or(name).trim_start_matches('/');
        let (rest, id) = name.rsplit_once('/')?;
        let kind = rest.rsplit('/').next().unwrap_or_default();
        let is_type =
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_type || id.is_empty() {
            return None;
        }
        let server = &rest[..rest.len() - kind.len()];
        Some(Self { server: server.trim_end_matches('/'), short: &name[server.len()..] })
    }

    /// Type and id: what it is called on its own server.
    pub fn short(&self) -> &'a str {
        self.short
    }

    /// The server that the name says; empty where it says none.
    pub fn server(&self) -> &'a str {
        self.server
    }

    /// Tells whether both names may mean one resource: the same type and id, of the same server or of one that isn't said.
    pub fn may_be(&self, other: &Self) -> bool {
        let is_said = !self.server.is_empty() && !other.server.is_empty();
        self.short == other.short && (!is_said || is_one_server(self.server, other.server))
    }
}

/// Tells whether two base URLs are one server's, whatever their scheme and capitals.
pub fn is_one_server(one: &str, other: &str) -> bool {
    fn bare(url: &str) -> &str {
        url.trim_end_matches('/').split_once("://").map_or(url, |(_, rest)| rest.trim_end_matches('/'))
    }
    bare(one).eq_ignore_ascii_case(bare(other))
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
