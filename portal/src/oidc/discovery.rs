//! The provider's own document (OpenID Connect Discovery 1.0 §3): where its addresses are. It can narrow what the settings say, and
//! never widen it: another issuer, another host or plain HTTP is refused.

use serde::Deserialize;
use sillage_rules::json::check_names;

use super::error::LoginError;
use super::settings::{Settings, parse_url};

/// Bytes of the document.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1_024;

/// The part of the document that is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    issuer: String,
    /// Where the browser goes.
    pub authorization_endpoint: String,
    /// Where a code is exchanged.
    pub token_endpoint: String,
    /// Where the claims on the person are.
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    /// Where the provider's keys are.
    pub jwks_uri: String,
    /// Where a login ends.
    #[serde(default)]
    pub end_session_endpoint: Option<String>,
    /// True if each return names the issuer (RFC 9207).
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub names_issuer: bool,
    #[serde(default)]
    response_types_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    id_token_encryption_alg_values_supported: Option<Vec<String>>,
    #[serde(default)]
    id_token_encryption_enc_values_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    acr_values_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Where the document is.
    pub fn address(settings: &Settings) -> String {
        format!("{}{}", settings.issuer.trim_end_matches('/'), settings.discovery)
    }

    /// Reads the document and holds it against the settings.
    ///
    /// # Errors
    /// [`LoginError::Answer`], [`LoginError::DiscoveryIssuer`], [`LoginError::DiscoveryHost`] or [`LoginError::Unsupported`].
    pub fn parse(bytes: &[u8], settings: &Settings) -> Result<Self, LoginError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LoginError::Answer)?;
        check_names(text).map_err(|_| LoginError::Answer)?;
        let document: Self = serde_json::from_str(text).map_err(|_| LoginError::Answer)?;
        if document.issuer != settings.issuer {
            return Err(LoginError::DiscoveryIssuer);
        }
        document.check_addresses(settings)?;
        let lists = |list: &Option<Vec<String>>, value: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|known| known == value))
        };
        let method = if settings.client_secret.is_some() { "client_secret_post" } else { "private_key_jwt" };
        let can = document.id_token_signing_alg_values_supported.iter().any(|alg| alg == "ES256")
            && lists(&document.response_types_supported, "code")
            && lists(&document.code_challenge_methods_supported, "S256")
            && lists(&document.token_endpoint_auth_methods_supported, method)
            && (!settings.encrypted
                || lists(&document.id_token_encryption_alg_values_supported, "ECDH-ES")
                    && lists(&document.id_token_encryption_enc_values_supported, "A256GCM"))
            && (!settings.userinfo || document.userinfo_endpoint.is_some());
        if can { Ok(document) } else { Err(LoginError::Unsupported) }
    }

    fn check_addresses(&self, settings: &Settings) -> Result<(), LoginError> {
        let issuer = parse_url(&settings.issuer, settings.plain_loopback).ok_or(LoginError::DiscoveryIssuer)?;
        let optional = [&self.userinfo_endpoint, &self.end_session_endpoint].into_iter().flatten();
        let addresses =
            [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri].into_iter().chain(optional);
        for address in addresses {
            let url = parse_url(address, settings.plain_loopback).ok_or(LoginError::DiscoveryHost)?;
            let same =
                |other: &str| url.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(other));
            let is_listed = settings.hosts.iter().any(|host| same(host));
            let is_issuer =
                url.scheme() == issuer.scheme() && issuer.authority().is_some_and(|authority| same(authority.as_str()));
            if !is_listed && !is_issuer {
                return Err(LoginError::DiscoveryHost);
            }
        }
        Ok(())
    }

    /// Tells whether the provider says of a value of `acr` that it knows it, or says nothing of them.
    pub fn knows_acr(&self, acr: &str) -> bool {
        self.acr_values_supported.as_ref().is_none_or(|values| values.iter().any(|known| known == acr))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings() -> Settings {
        toml::from_str(
            "issuer = \"https://idp.example/api/v2\"\nclient_id = \"c\"\nredirect_uri = \"https://p.example/r\"\nkeys = \"k\"",
        )
        .expect("settings")
    }

    fn document(change: Value) -> Result<Metadata, LoginError> {
        let mut document = json!({
            "issuer": "https://idp.example/api/v2",
            "authorization_endpoint": "https://idp.example/api/v2/authorize",
            "token_endpoint": "https://idp.example/api/v2/token",
            "userinfo_endpoint": "https://idp.example/api/v2/userinfo",
            "jwks_uri": "https://idp.example/api/v2/jwks",
            "end_session_endpoint": "https://idp.example/api/v2/session/end",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "id_token_encryption_alg_values_supported": ["ECDH-ES", "RSA-OAEP"],
            "id_token_encryption_enc_values_supported": ["A256GCM"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "acr_values_supported": ["eidas2", "eidas3"],
        });
        for (name, value) in change.as_object().expect("an object") {
            document[name] = value.clone();
        }
        Metadata::parse(document.to_string().as_bytes(), &settings())
    }

    #[test]
    fn the_document_is_at_the_issuer_and_leads_nowhere_else() {
        assert_eq!(Metadata::address(&settings()), "https://idp.example/api/v2/.well-known/openid-configuration");
        let found = document(json!({})).expect("a document");
        assert!(found.knows_acr("eidas3") && !found.knows_acr("eidas1"));
        assert_eq!(document(json!({"issuer": "https://idp.example/api/v2/"})), Err(LoginError::DiscoveryIssuer));
        for name in
            ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"]
        {
            for elsewhere in [
                "https://evil.example/x",
                "http://idp.example/x",
                "https://idp.example:444/x",
                "https://u@idp.example/",
                "/x",
            ] {
                assert_eq!(document(json!({name: elsewhere})), Err(LoginError::DiscoveryHost), "{name} {elsewhere}");
            }
        }
        let bytes = br#"{"issuer":"a","issuer":"https://idp.example/api/v2"}"#;
        assert_eq!(Metadata::parse(bytes, &settings()), Err(LoginError::Answer));
    }

    #[test]
    fn a_provider_that_can_do_less_is_refused_before_anybody_goes_there() {
        for less in [
            json!({"id_token_signing_alg_values_supported": ["RS256"]}),
            json!({"response_types_supported": ["id_token"]}),
            json!({"code_challenge_methods_supported": ["plain"]}),
            json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}),
            json!({"id_token_encryption_alg_values_supported": ["RSA-OAEP"]}),
            json!({"id_token_encryption_enc_values_supported": ["A128CBC-HS256"]}),
            json!({"userinfo_endpoint": null}),
        ] {
            assert_eq!(document(less.clone()), Err(LoginError::Unsupported), "{less}");
        }
    }
}
