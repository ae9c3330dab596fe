//! The way there and back: the address to which the browser goes, what is kept meanwhile, and the query with which it returns.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sillage_rules::will::Level;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::discovery::Metadata;
use super::error::LoginError;
use super::http::{decode, encode};
use super::settings::Settings;

/// For so long a login may be under way, in seconds: people look for their telephone.
pub const UNDER_WAY_S_MAX: u64 = 900;
/// FranceConnect asks for so many characters of a nonce and a state, at least.
const NONCE_BYTES_MIN: usize = 22;
/// Bytes of a nonce.
const NONCE_BYTES_MAX: usize = 128;
/// Bytes of the query with which the browser returns.
const QUERY_BYTES_MAX: usize = 4_096;
/// Bytes of a code.
const CODE_BYTES_MAX: usize = 2_048;

/// A login that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The nonce: in a login for the ledger that of the session's key (`sillage_client::will::session_nonce`, 64 characters). It is public.
    pub nonce: String,
    /// The level that is asked for and enforced.
    pub level: Level,
    /// The person has logged in at most so many seconds before this request; 0: they log in again.
    pub max_age_s: Option<u32>,
    /// The language of the provider's pages: `fr` or `en`.
    pub language: &'static str,
}

/// The part of a login that is kept until the browser returns: with whoever began, sealed and bound to that browser. It holds secrets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    /// `low`, `substantial` or `high`.
    level: String,
    max_age_s: Option<u32>,
    begun_s: u64,
}

wipe_on_drop!(Pending: state, verifier);

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending(..)")
    }
}

impl Pending {
    /// Begins at `now_s`, seconds since 1970.
    ///
    /// # Errors
    /// [`LoginError::Randomness`].
    ///
    /// # Panics
    /// A nonce that the provider would refuse: the caller computes it.
    pub fn begin(ask: &Ask, now_s: u64) -> Result<Self, LoginError> {
        let fits = (NONCE_BYTES_MIN..=NONCE_BYTES_MAX).contains(&ask.nonce.len());
        assert!(
            fits && ask.nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "a nonce of 22 to 128 letters and digits"
        );
        Ok(Self {
            state: random()?,
            nonce: ask.nonce.clone(),
            verifier: random()?,
            level: ask.level.as_str().to_owned(),
            max_age_s: ask.max_age_s,
            begun_s: now_s,
        })
    }

    /// The nonce that the ID token has to name.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The level that the login has to be of.
    pub fn level(&self) -> Level {
        match self.level.as_str() {
            "low" => Level::Low,
            "substantial" => Level::Substantial,
            // Whatever else stands there asks for the most.
            _ => Level::High,
        }
    }

    /// The person has to have logged in at this time or later, seconds since 1970; none where it wasn't asked for.
    pub fn not_before_s(&self) -> Option<u64> {
        self.max_age_s.map(|max_age_s| self.begun_s.saturating_sub(max_age_s.into()))
    }

    /// The secret that shows at the exchange that it is this client which began (RFC 7636).
    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The address to which the browser goes.
    ///
    /// # Errors
    /// [`LoginError::Unsupported`]: the provider doesn't know the level.
    pub fn address(&self, metadata: &Metadata, settings: &Settings, language: &str) -> Result<String, LoginError> {
        let acr =
            settings.acr_for(self.level()).filter(|acr| metadata.knows_acr(acr)).ok_or(LoginError::Unsupported)?;
        let scope = settings.scopes.join(" ");
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()));
        let max_age = self.max_age_s.map(|max_age_s| max_age_s.to_string());
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", settings.client_id.as_str()),
            ("redirect_uri", settings.redirect_uri.as_str()),
            ("scope", scope.as_str()),
            ("state", self.state.as_str()),
            ("nonce", self.nonce.as_str()),
            ("acr_values", acr),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("ui_locales", language),
        ];
        if let Some(max_age) = &max_age {
            pairs.push(("max_age", max_age));
        }
        if self.max_age_s == Some(0) {
            pairs.push(("prompt", "login"));
        }
        Ok(join(&metadata.authorization_endpoint, &pairs))
    }

    /// Holds the browser's return against what was begun, and gives the code. The state is looked at first: without it nothing else
    /// of the return is believed, an error neither.
    ///
    /// # Errors
    /// [`LoginError::State`], [`LoginError::Stale`], [`LoginError::ResponseIssuer`], [`LoginError::Cancelled`],
    /// [`LoginError::Refused`] or [`LoginError::Return`].
    pub fn accept<'c>(
        &self,
        callback: &'c Callback,
        metadata: &Metadata,
        settings: &Settings,
        now_s: u64,
    ) -> Result<&'c str, LoginError> {
        let is_same: bool = callback.state.as_bytes().ct_eq(self.state.as_bytes()).into();
        if !is_same {
            return Err(LoginError::State);
        }
        if now_s.saturating_sub(self.begun_s) > UNDER_WAY_S_MAX {
            return Err(LoginError::Stale);
        }
        match &callback.issuer {
            Some(issuer) if *issuer != settings.issuer => return Err(LoginError::ResponseIssuer),
            None if metadata.names_issuer => return Err(LoginError::ResponseIssuer),
            _ => {}
        }
        match (callback.error.as_deref(), &callback.code) {
            (Some("access_denied"), _) => Err(LoginError::Cancelled),
            (Some("server_error" | "temporarily_unavailable"), _) => Err(LoginError::Unavailable),
            (Some("invalid_request" | "invalid_scope" | "unauthorized_client" | "unsupported_response_type"), _) => {
                Err(LoginError::ClientRefused)
            }
            (Some(_), _) => Err(LoginError::Refused),
            (None, Some(code)) => Ok(code),
            (None, None) => Err(LoginError::Return),
        }
    }
}

/// The query with which the browser returns. The code in it is a secret for its 30 seconds.
pub struct Callback {
    state: String,
    code: Option<String>,
    issuer: Option<String>,
    /// The code of an error (RFC 6749 §4.1.2.1). What the provider says beside it is dropped: anybody can write it into a link.
    error: Option<String>,
}

wipe_on_drop!(Callback: state, code);

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callback(..)")
    }
}

impl Callback {
    /// Reads it, without the question mark.
    ///
    /// # Errors
    /// [`LoginError::Return`]: too long, not a query, a name twice, or no state.
    pub fn parse(query: &str) -> Result<Self, LoginError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(LoginError::Return);
        }
        Self::of(decode(query).ok_or(LoginError::Return)?)
    }

    /// Of names and values that a server has read already.
    ///
    /// # Errors
    /// [`LoginError::Return`]: too long, a name twice, or no state.
    pub fn of(mut pairs: Vec<(String, String)>) -> Result<Self, LoginError> {
        let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let twice = pairs.iter().enumerate().any(|(at, (name, _))| pairs[..at].iter().any(|(other, _)| other == name));
        if bytes > QUERY_BYTES_MAX || twice {
            return Err(LoginError::Return);
        }
        let mut take = |name: &str| {
            let at = pairs.iter().position(|(known, _)| known == name)?;
            Some(pairs.swap_remove(at).1)
        };
        let fits = |code: &String| {
            !code.is_empty() && code.len() <= CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let code = take("code");
        if code.as_ref().is_some_and(|code| !fits(code)) {
            return Err(LoginError::Return);
        }
        let state = take("state").ok_or(LoginError::Return)?;
        Ok(Self { state, code, issuer: take("iss"), error: take("error") })
    }
}

/// The address at which the provider ends its own session (OpenID Connect RP-Initiated Logout 1.0), none where it has none.
/// `id_token` goes along where it names the person by `sub` alone; a token with more has no place in an address.
///
/// # Errors
/// [`LoginError::Randomness`].
pub fn logout_address(
    metadata: &Metadata,
    settings: &Settings,
    id_token: Option<&str>,
) -> Result<Option<String>, LoginError> {
    let Some(endpoint) = &metadata.end_session_endpoint else { return Ok(None) };
    let state = random()?;
    let mut pairs = vec![("client_id", settings.client_id.as_str()), ("state", state.as_str())];
    if let Some(id_token) = id_token {
        pairs.push(("id_token_hint", id_token));
    }
    if let Some(address) = &settings.post_logout_redirect_uri {
        pairs.push(("post_logout_redirect_uri", address));
    }
    Ok(Some(join(endpoint, &pairs)))
}

fn join(endpoint: &str, pairs: &[(&str, &str)]) -> String {
    let mark = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{mark}{}", *encode(pairs))
}

/// 32 random bytes, 43 characters.
fn random() -> Result<String, LoginError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| LoginError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world(names_issuer: bool) -> (Settings, Metadata) {
        let settings: Settings = toml::from_str(
            "issuer = \"https://idp.example\"\nclient_id = \"c\"\nredirect_uri = \"https://p.example/r\"\nkeys = \"k\"\n\
             post_logout_redirect_uri = \"https://p.example/bye\"",
        )
        .expect("settings");
        let document = json!({
            "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": "https://idp.example/token", "userinfo_endpoint": "https://idp.example/userinfo",
            "jwks_uri": "https://idp.example/jwks", "end_session_endpoint": "https://idp.example/end",
            "id_token_signing_alg_values_supported": ["ES256"], "acr_values_supported": ["eidas2", "eidas3"],
            "authorization_response_iss_parameter_supported": names_issuer,
        });
        let metadata = Metadata::parse(document.to_string().as_bytes(), &settings).expect("a document");
        (settings, metadata)
    }

    fn ask(level: Level, max_age_s: Option<u32>) -> Ask {
        Ask { nonce: "ab".repeat(32), level, max_age_s, language: "fr" }
    }

    #[test]
    fn the_address_asks_for_all_that_is_enforced_later() {
        let (settings, metadata) = world(true);
        let pending = Pending::begin(&ask(Level::Substantial, None), 1_000).expect("randomness");
        let address = pending.address(&metadata, &settings, "fr").expect("an address");
        let pairs = decode(address.split_once('?').expect("a query").1).expect("a query");
        let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("response_type"), Some("code"));
        assert_eq!(value("acr_values"), Some("eidas2"));
        assert_eq!(value("code_challenge_method"), Some("S256"));
        assert_eq!(value("redirect_uri"), Some("https://p.example/r"));
        assert!(value("scope").is_some_and(|scope| scope.starts_with("openid ")));
        assert!(
            value("state").is_some_and(|state| state.len() >= 22)
                && value("nonce").is_some_and(|nonce| nonce.len() == 64)
        );
        assert!(value("max_age").is_none() && value("prompt").is_none());
        assert!(!address.contains(pending.verifier()), "the secret stays here");
        let again = Pending::begin(&ask(Level::High, Some(0)), 1_000).expect("randomness");
        let address = again.address(&metadata, &settings, "en").expect("an address");
        assert!(
            address.contains("acr_values=eidas3") && address.contains("max_age=0") && address.contains("prompt=login")
        );
        let low = Pending::begin(&ask(Level::Low, None), 1_000).expect("randomness");
        assert_eq!(
            low.address(&metadata, &settings, "fr"),
            Err(LoginError::Unsupported),
            "FranceConnect+ knows no eidas1"
        );
        assert_eq!(format!("{pending:?}"), "Pending(..)");
    }

    #[test]
    fn a_return_that_is_not_the_one_of_this_login_is_refused() {
        let (settings, metadata) = world(true);
        let pending = Pending::begin(&ask(Level::Substantial, None), 1_000).expect("randomness");
        let accept = |query: &str, now_s| {
            let callback = Callback::parse(query)?;
            pending.accept(&callback, &metadata, &settings, now_s).map(str::to_owned)
        };
        let (state, iss) = (&pending.state, "iss=https%3A%2F%2Fidp.example");
        assert_eq!(accept(&format!("code=abc&state={state}&{iss}"), 1_900), Ok("abc".to_owned()));
        assert_eq!(accept(&format!("code=abc&state={state}&{iss}"), 1_901), Err(LoginError::Stale));
        assert_eq!(accept(&format!("code=abc&state=other&{iss}"), 1_000), Err(LoginError::State));
        assert_eq!(accept(&format!("code=abc&{iss}"), 1_000), Err(LoginError::Return), "no state");
        assert_eq!(accept(&format!("code=abc&state={state}"), 1_000), Err(LoginError::ResponseIssuer));
        assert_eq!(
            accept(&format!("code=abc&state={state}&iss=https://evil.example"), 1_000),
            Err(LoginError::ResponseIssuer)
        );
        assert_eq!(accept(&format!("error=access_denied&state={state}&{iss}"), 1_000), Err(LoginError::Cancelled));
        assert_eq!(
            accept(&format!("error=server_error&code=a&state={state}&{iss}"), 1_000),
            Err(LoginError::Unavailable)
        );
        assert_eq!(
            accept("error=access_denied&state=other", 1_000),
            Err(LoginError::State),
            "an error of somebody else"
        );
        assert_eq!(accept(&format!("state={state}&{iss}"), 1_000), Err(LoginError::Return));
        assert_eq!(accept(&format!("code=a&code=b&state={state}&{iss}"), 1_000), Err(LoginError::Return));
        assert_eq!(accept(&format!("code={}&state={state}", "a".repeat(2_049)), 1_000), Err(LoginError::Return));
        assert_eq!(accept(&"a".repeat(4_097), 1_000), Err(LoginError::Return));
    }

    #[test]
    fn a_provider_that_does_not_name_itself_is_taken_where_its_document_does_not_promise_it() {
        let (settings, metadata) = world(false);
        let pending = Pending::begin(&ask(Level::Substantial, None), 1_000).expect("randomness");
        let callback = Callback::parse(&format!("code=abc&state={}", pending.state)).expect("a return");
        assert_eq!(pending.accept(&callback, &metadata, &settings, 1_000), Ok("abc"));
    }

    #[test]
    fn what_is_kept_comes_back_the_same() {
        let pending = Pending::begin(&ask(Level::Substantial, Some(60)), 1_000).expect("randomness");
        let text = serde_json::to_string(&pending).expect("JSON");
        let back: Pending = serde_json::from_str(&text).expect("the same");
        assert_eq!((back.level(), back.not_before_s(), back.nonce()), (Level::Substantial, Some(940), pending.nonce()));
        let changed: Pending = serde_json::from_str(&text.replace("substantial", "none")).expect("a text");
        assert_eq!(changed.level(), Level::High, "an unknown level asks for the most");
    }

    #[test]
    fn a_logout_names_the_client_and_where_to_go_then() {
        let (settings, metadata) = world(false);
        let address = logout_address(&metadata, &settings, None).expect("randomness").expect("an address");
        assert!(address.starts_with("https://idp.example/end?client_id=c&state="));
        assert!(
            address.contains("post_logout_redirect_uri=https%3A%2F%2Fp.example%2Fbye") && !address.contains("hint")
        );
        let address = logout_address(&metadata, &settings, Some("a.b.c")).expect("randomness").expect("an address");
        assert!(address.contains("id_token_hint=a.b.c"));
        let mut without = metadata.clone();
        without.end_session_endpoint = None;
        assert_eq!(logout_address(&without, &settings, None), Ok(None));
    }
}
