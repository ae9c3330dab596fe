//! The settings of a client: the table `[oidc]` of a login process.

use std::path::{Path, PathBuf};

use hyper::Uri;
use serde::Deserialize;
use sillage_rules::will::Level;

use super::error::SettingsError;

/// The longest address or name in the settings, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// The value of `acr` that says low at FranceConnect and Pro Santé Connect. No setting makes more of it.
const ACR_LOW: &str = "eidas1";

/// Which audience the client's own assertion names (`private_key_jwt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssertionAudience {
    /// The issuer (the rule since January 2025, against assertions that are handed on).
    #[default]
    Issuer,
    /// The address of the token endpoint, as older providers want it.
    TokenEndpoint,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The provider as people call it.
    #[serde(default = "default_name")]
    pub name: String,
    /// The claim `iss`, exactly: `https://auth.integ01.dev-franceconnect.fr/api/v2`.
    pub issuer: String,
    /// Where its document is, behind the issuer.
    #[serde(default = "default_discovery")]
    pub discovery: String,
    /// The name of this client at the provider.
    pub client_id: String,
    /// The address to which the browser comes back, exactly as it is registered.
    pub redirect_uri: String,
    /// Where the browser goes after a logout at the provider.
    #[serde(default)]
    pub post_logout_redirect_uri: Option<String>,
    /// The claims that are asked for. The default is the identity that FranceConnect+ knows.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// A file with the private keys of this client, as a JWKS, mode 0600 ([`super::keys::ClientKeys`]).
    #[serde(default)]
    pub keys: Option<PathBuf>,
    /// A file with the client's secret, mode 0600, where it authenticates with `client_secret_post`.
    #[serde(default)]
    pub client_secret: Option<PathBuf>,
    /// The audience of the client's assertion.
    #[serde(default)]
    pub assertion_audience: AssertionAudience,
    /// True if ID token and userinfo come encrypted: then others are refused, else encrypted ones are.
    #[serde(default = "yes")]
    pub encrypted: bool,
    /// True if userinfo is asked for. It comes as a signed JWT.
    #[serde(default = "yes")]
    pub userinfo: bool,
    /// The values of `acr` that are of the level substantial. The first one is asked for.
    #[serde(default = "default_substantial")]
    pub acr_substantial: Vec<String>,
    /// The values of `acr` that are of the level high. The first one is asked for.
    #[serde(default = "default_high")]
    pub acr_high: Vec<String>,
    /// Other hosts than the issuer's that the provider's addresses may name.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Roots of trust of the provider, PEM; without it those of browsers.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// For development and tests: plain HTTP to a provider on this machine.
    #[serde(default)]
    pub plain_loopback: bool,
    /// The claim that holds the INS, where the provider is an identity service that knows it. FranceConnect has none.
    #[serde(default)]
    pub ins_claim: Option<String>,
    /// The claim that holds the OID of the INS.
    #[serde(default)]
    pub oid_claim: Option<String>,
}

fn default_name() -> String {
    "FranceConnect+".to_owned()
}

fn default_discovery() -> String {
    "/.well-known/openid-configuration".to_owned()
}

fn default_scopes() -> Vec<String> {
    ["openid", "given_name", "family_name", "birthdate", "gender", "birthplace", "birthcountry"]
        .map(str::to_owned)
        .to_vec()
}

fn default_substantial() -> Vec<String> {
    vec!["eidas2".to_owned()]
}

fn default_high() -> Vec<String> {
    vec!["eidas3".to_owned()]
}

const fn yes() -> bool {
    true
}

impl Settings {
    /// Checks what can be said without the provider and without the files.
    ///
    /// # Errors
    /// The first setting that can't be used, and what to do.
    pub fn check(&self) -> Result<(), SettingsError> {
        let issuer = self.url("issuer", &self.issuer)?;
        if self.issuer.contains('?') {
            return Err(SettingsError::new("issuer", "an issuer has no query"));
        }
        let redirect = self.url("redirect_uri", &self.redirect_uri)?;
        if redirect.query().is_some() {
            return Err(SettingsError::new("redirect_uri", "register an address without a query"));
        }
        if let Some(address) = &self.post_logout_redirect_uri {
            self.url("post_logout_redirect_uri", address)?;
        }
        if !self.discovery.starts_with('/') {
            return Err(SettingsError::new("discovery", "begins with / and stands behind the issuer"));
        }
        let text = |field, text: &str| match text.is_empty()
            || text.len() > TEXT_BYTES_MAX
            || text.chars().any(char::is_control)
        {
            true => Err(SettingsError::new(field, format!("1 to {TEXT_BYTES_MAX} bytes on one line"))),
            false => Ok(()),
        };
        text("name", &self.name)?;
        text("client_id", &self.client_id)?;
        for scope in &self.scopes {
            text("scopes", scope)?;
            if scope.contains(' ') {
                return Err(SettingsError::new("scopes", "one scope an element"));
            }
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err(SettingsError::new("scopes", "`openid` is missing"));
        }
        match (&self.keys, &self.client_secret) {
            (None, None) => {
                return Err(SettingsError::new("keys", "missing: the client authenticates with a key or a secret"));
            }
            (None, Some(_)) if self.encrypted => {
                return Err(SettingsError::new("keys", "missing: the key with which encrypted tokens are opened"));
            }
            _ => {}
        }
        self.check_levels()?;
        for host in &self.hosts {
            text("hosts", host)?;
        }
        match (&self.ins_claim, &self.oid_claim) {
            (None, Some(_)) => Err(SettingsError::new("oid_claim", "stands beside `ins_claim`")),
            _ => issuer.host().map(|_| ()).ok_or_else(|| SettingsError::new("issuer", "names no host")),
        }
    }

    fn check_levels(&self) -> Result<(), SettingsError> {
        for (field, values) in [("acr_substantial", &self.acr_substantial), ("acr_high", &self.acr_high)] {
            if values.iter().any(|value| value == ACR_LOW) {
                return Err(SettingsError::new(field, "eidas1 is the level low: it is never more"));
            }
            if values.iter().any(|value| value.is_empty() || value.contains(' ') || value.len() > TEXT_BYTES_MAX) {
                return Err(SettingsError::new(field, "a value of `acr` is one word"));
            }
        }
        match self.acr_high.iter().any(|value| self.acr_substantial.contains(value)) {
            true => Err(SettingsError::new("acr_high", "a value is of one level")),
            false => Ok(()),
        }
    }

    fn url(&self, field: &'static str, text: &str) -> Result<Uri, SettingsError> {
        parse_url(text, self.plain_loopback).ok_or_else(|| {
            SettingsError::new(
                field,
                "not an https address (plain http goes to this machine alone, with `plain_loopback`)",
            )
        })
    }

    /// Makes the paths of its files absolute: they are relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        for file in [&mut self.keys, &mut self.client_secret, &mut self.ca].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// The level of a value of `acr`; without one, and with any that isn't listed, it is low.
    pub fn level(&self, acr: Option<&str>) -> Level {
        let is = |values: &[String]| acr.is_some_and(|acr| acr != ACR_LOW && values.iter().any(|value| value == acr));
        match (is(&self.acr_high), is(&self.acr_substantial)) {
            (true, _) => Level::High,
            (false, true) => Level::Substantial,
            (false, false) => Level::Low,
        }
    }

    /// The value of `acr` with which a level is asked for. FranceConnect takes one.
    pub fn acr_for(&self, level: Level) -> Option<&str> {
        match level {
            Level::Low => Some(ACR_LOW),
            Level::Substantial => self.acr_substantial.first().or(self.acr_high.first()).map(String::as_str),
            Level::High => self.acr_high.first().map(String::as_str),
        }
    }
}

/// An address: https, or plain http to this machine where that is allowed; without user, password or fragment.
pub(crate) fn parse_url(text: &str, plain_loopback: bool) -> Option<Uri> {
    if text.len() > TEXT_BYTES_MAX || text.contains(['#', ' ']) {
        return None;
    }
    let url: Uri = text.parse().ok()?;
    let authority = url.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let is_allowed = match url.scheme_str()? {
        "https" => true,
        "http" => plain_loopback && is_loopback(authority.host()),
        _ => false,
    };
    is_allowed.then_some(url)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Result<Settings, String> {
        let text = format!(
            "issuer = \"https://idp.example/api/v2\"\nclient_id = \"c\"\nredirect_uri = \"https://portal.example/retour\"\nkeys = \"k\"\n{more}"
        );
        let settings: Settings = toml::from_str(&text).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn eidas1_is_never_more_than_low() {
        let plain = settings("").expect("settings");
        assert_eq!(plain.level(Some("eidas1")), Level::Low);
        assert_eq!(plain.level(Some("eidas2")), Level::Substantial);
        assert_eq!(plain.level(Some("eidas3")), Level::High);
        assert_eq!((plain.level(Some("eidas4")), plain.level(None)), (Level::Low, Level::Low));
        assert!(settings("acr_substantial = [\"eidas1\"]").is_err_and(|why| why.contains("eidas1")));
        assert!(settings("acr_high = [\"eidas2\"]").is_err(), "a value of two levels");
        let forced = Settings { acr_high: vec!["eidas1".into()], ..plain };
        assert_eq!(forced.level(Some("eidas1")), Level::Low, "even where nobody checked");
    }

    #[test]
    fn the_page_on_logins_has_each_setting() {
        let page = include_str!("../../../docs/login-oidc.md");
        let (_, rest) = include_str!("settings.rs").split_once("pub struct Settings {").expect("it is there");
        let (body, _) = rest.split_once("\n}").expect("it ends");
        for field in body.lines().filter_map(|line| Some(line.trim().strip_prefix("pub ")?.split_once(": ")?.0)) {
            assert!(page.contains(&format!("`{field}`")) || page.contains(&format!("\n{field} = ")), "{field}");
        }
    }

    #[test]
    fn an_address_is_https_or_this_machine_in_development() {
        assert!(parse_url("https://idp.example/a", false).is_some());
        for refused in [
            "http://idp.example/",
            "https://u:p@idp.example/",
            "https://idp.example/#x",
            "ftp://a/",
            "/a",
            "http://127.0.0.1:1/",
        ] {
            assert!(parse_url(refused, false).is_none(), "{refused}");
        }
        assert!(parse_url("http://127.0.0.1:1/", true).is_some());
        assert!(parse_url("http://[::1]:1/", true).is_some());
        assert!(parse_url("http://127.0.0.1.example/", true).is_none());
    }

    #[test]
    fn settings_that_would_weaken_a_login_are_refused() {
        assert!(settings("").is_ok());
        assert!(settings("scopes = [\"profile\"]").is_err(), "without openid");
        assert!(settings("oid_claim = \"oid\"").is_err());
        assert!(settings("unknown = 1").is_err());
        assert!(settings("post_logout_redirect_uri = \"http://portal.example\"").is_err());
        let no_key = Settings { keys: None, client_secret: Some("s".into()), ..settings("").expect("settings") };
        assert!(no_key.check().is_err(), "nothing opens its tokens");
        assert!(Settings { encrypted: false, ..no_key }.check().is_ok());
    }
}
