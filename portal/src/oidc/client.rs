//! The client: begins logins, and finishes them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_rules::json::check_names;
use sillage_rules::will::claims::Claims;
use sillage_rules::will::jws::Token;
use zeroize::Zeroizing;

use super::discovery::{DOCUMENT_BYTES_MAX, Metadata};
use super::error::{LoginError, SettingsError};
use super::http::{self, Answer, Trust, Web, encode};
use super::jwe::ENCRYPTED_BYTES_MAX;
use super::keys::{ClientKeys, ProviderKeys, SET_BYTES_MAX, read_private};
use super::request::{Ask, Callback, Pending, logout_address};
use super::settings::{AssertionAudience, Settings};
use super::verify::{self, Established, Expected, Signed, malformed};

/// The provider's document and keys are read again after this, in seconds: a key that it has withdrawn stops counting.
const FRESH_S: u64 = 300;
/// Where they can't be read again, those before count for so long, in seconds.
const STALE_S: u64 = 3_600;
/// Unknown keys of tokens make the set be read again at most this often, in seconds.
const AGAIN_S: u64 = 10;
/// While nothing is known, reading is tried at most this often, in seconds: whoever waits for a provider that hangs waits once.
const RETRY_S: u64 = 2;
/// The client's assertion counts for so long, in seconds.
const ASSERTION_S: u64 = 60;
/// Bytes of the answer with the tokens.
const TOKENS_BYTES_MAX: usize = 2 * ENCRYPTED_BYTES_MAX + 8 * 1_024;
/// Bytes of a claim on the person.
const TRAIT_BYTES_MAX: usize = 512;
/// Claims of an ID token that name a person by `sub` alone.
const BARE_CLAIMS: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "jti",
];

/// The person who logged in, as the provider knows them. Wiped on drop, never printed.
#[derive(Clone)]
pub struct Person {
    /// The issuer.
    pub issuer: String,
    /// The provider's name of the person for this service. With the issuer it is the name of an account.
    pub sub: String,
    /// The family name at birth.
    pub family_name: Option<String>,
    /// The given names, with spaces between them.
    pub given_name: Option<String>,
    /// `YYYY-MM-DD`; a month or a day that isn't known is `00`.
    pub birthdate: Option<String>,
    /// `male` or `female`.
    pub gender: Option<String>,
    /// The INSEE code of the place of birth; empty for births abroad.
    pub birthplace: Option<String>,
    /// The INSEE code of the country of birth.
    pub birthcountry: Option<String>,
    /// The INS, where the provider is an identity service that knows it.
    pub ins: Option<String>,
    /// The OID of the INS.
    pub oid: Option<String>,
}

wipe_on_drop!(Person: sub, family_name, given_name, birthdate, gender, birthplace, birthcountry, ins, oid);

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(..)")
    }
}

/// A login that was verified.
pub struct Login {
    /// The ID token as it was signed: what a record's `will.token` carries.
    pub id_token: Zeroizing<String>,
    /// The userinfo answer as it was signed; empty where none was asked for.
    pub userinfo: Zeroizing<String>,
    /// The person.
    pub person: Person,
    /// The claims of the ID token on how and when they logged in.
    pub established: Established,
    ins_in_token: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(..)")
    }
}

impl Login {
    #[cfg(test)]
    pub(crate) fn for_tests(person: Person, established: Established) -> Self {
        let (id_token, userinfo) = (Zeroizing::default(), Zeroizing::default());
        Self { id_token, userinfo, person, established, ins_in_token: false }
    }

    /// The `will.userinfo` of a record: the userinfo answer where the claims on the person stand there, else nothing.
    pub fn userinfo_of_will(&self) -> &str {
        if self.ins_in_token { "" } else { &self.userinfo }
    }
}

/// How this client shows that it is this client.
enum Secret {
    Keys,
    Shared(Zeroizing<String>),
}

/// The provider's document and keys, as far as they are known.
#[derive(Default)]
struct Known {
    metadata: Option<Arc<Metadata>>,
    keys: Arc<ProviderKeys>,
    /// When both were read, seconds since 1970.
    read_s: u64,
    /// When reading them was tried last.
    tried_s: u64,
}

/// See the module. It is shared between requests.
pub struct Client {
    settings: Settings,
    web: Web,
    secret: Secret,
    keys: Option<ClientKeys>,
    known: tokio::sync::Mutex<Known>,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    id_token: String,
}

wipe_on_drop!(Tokens: access_token, id_token);

#[derive(Deserialize)]
struct Failure {
    error: String,
}

impl Client {
    /// With these settings. Reads the files that they name; the provider isn't asked yet.
    ///
    /// # Errors
    /// The first setting or file that can't be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let trust = Trust { ca: settings.ca.clone(), identity: None, plain_loopback: settings.plain_loopback };
        let web = Web::new(&trust).map_err(|why| SettingsError::new("ca", why))?;
        let keys = settings.keys.as_deref().map(ClientKeys::load).transpose()?;
        let opens = keys.as_ref().is_some_and(|keys| !keys.decryption.is_empty());
        if settings.encrypted && !opens {
            return Err(SettingsError::new("keys", "no key of `\"use\": \"enc\"`, and tokens come encrypted"));
        }
        let secret = match &settings.client_secret {
            None => Secret::Keys,
            Some(path) => {
                let text = read_private("client_secret", path)?;
                Secret::Shared(Zeroizing::new(text.trim().to_owned()))
            }
        };
        Ok(Self { settings, web, secret, keys, known: tokio::sync::Mutex::default() })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The public halves of its keys: what the login process serves at the address that is registered at the provider. FranceConnect+
    /// fetches the key for encryption there. None where it authenticates with a secret and nothing is encrypted.
    pub fn public_jwks(&self) -> Option<&serde_json::Value> {
        self.keys.as_ref().map(ClientKeys::public_jwks)
    }

    /// Asks the provider for its document and keys: whether a login could begin now.
    ///
    /// # Errors
    /// Why it couldn't.
    pub async fn check(&self) -> Result<(), LoginError> {
        self.known(None).await.map(|_| ())
    }

    /// The keys with which the provider signs now, as an authority publishes them (`sillage keys issuer`).
    ///
    /// # Errors
    /// The provider's document or keys can't be had.
    pub async fn provider_keys(&self) -> Result<Arc<ProviderKeys>, LoginError> {
        self.known(None).await.map(|(_, keys)| keys)
    }

    /// Begins a login: where the browser goes, and what is kept until it returns.
    ///
    /// # Errors
    /// The provider's document can't be had, or it doesn't know the level.
    ///
    /// # Panics
    /// The nonce has another form than 22 to 128 letters and digits.
    pub async fn begin(&self, ask: &Ask) -> Result<(String, Pending), LoginError> {
        let (metadata, _) = self.known(None).await?;
        let pending = Pending::begin(ask, now_s())?;
        let address = pending.address(&metadata, &self.settings, ask.language)?;
        Ok((address, pending))
    }

    /// Finishes a login with the query with which the browser returned: exchanges the code at once, verifies the tokens, and drops
    /// all but what the ledger needs.
    ///
    /// # Errors
    /// The first reason why the login isn't taken.
    pub async fn finish(&self, pending: &Pending, callback: &Callback) -> Result<Login, LoginError> {
        let (metadata, _) = self.known(None).await?;
        let code = pending.accept(callback, &metadata, &self.settings, now_s())?;
        let tokens = self.exchange(&metadata, code, pending.verifier()).await?;
        let decryption = self.keys.as_ref().map_or(&[][..], |keys| &keys.decryption);
        let id_token = verify::decrypted(&tokens.id_token, &self.settings, decryption)?;
        let (_, keys) = self.known(Some(&verify::key_named(&id_token)?)).await?;
        let expected = Expected {
            nonce: pending.nonce(),
            level: pending.level(),
            not_before_s: pending.not_before_s(),
            access_token: Some(&tokens.access_token),
            now_s: now_s(),
        };
        let (login, established) = verify::id_token(id_token, &keys, &self.settings, &expected)?;
        let userinfo = match (self.settings.userinfo, &metadata.userinfo_endpoint) {
            (true, Some(endpoint)) => Some(self.userinfo(endpoint, &tokens.access_token, &login).await?),
            _ => None,
        };
        drop(tokens);
        let on_person = userinfo.as_ref().map_or(&login.claims, |answer| &answer.claims);
        let person = self.person(&login.claims, on_person)?;
        let ins_in_token = self.settings.ins_claim.as_deref().is_some_and(|name| has(&login.claims, name));
        let userinfo = userinfo.map(|answer| answer.text).unwrap_or_default();
        Ok(Login { id_token: login.text, userinfo, person, established, ins_in_token })
    }

    /// Where the browser goes to end the provider's own session too; none where the provider has no such address.
    ///
    /// # Errors
    /// The provider's document can't be had.
    pub async fn logout(&self, id_token: Option<&str>) -> Result<Option<String>, LoginError> {
        let (metadata, _) = self.known(None).await?;
        logout_address(&metadata, &self.settings, id_token.filter(|token| is_bare(token)))
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, verifier: &str) -> Result<Tokens, LoginError> {
        let settings = &self.settings;
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", settings.redirect_uri.as_str()),
            ("code_verifier", verifier),
            ("client_id", settings.client_id.as_str()),
        ];
        let assertion = match (&self.secret, &self.keys) {
            (Secret::Keys, Some(keys)) => Some(self.assertion(keys, metadata)?),
            _ => None,
        };
        if let Some(assertion) = &assertion {
            pairs.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
            pairs.push(("client_assertion", assertion));
        }
        if let Secret::Shared(secret) = &self.secret {
            pairs.push(("client_secret", secret));
        }
        let form = Zeroizing::new(encode(&pairs).as_bytes().to_vec());
        let body = Some(("application/x-www-form-urlencoded", form));
        let ask = http::Ask { url: &metadata.token_endpoint, body, bearer: None, bytes_max: TOKENS_BYTES_MAX };
        let answer = self.web.ask(ask).await?;
        let text = json_text(&answer)?;
        if answer.status == 200 {
            let tokens: Tokens = serde_json::from_str(text).map_err(|_| LoginError::Answer)?;
            let is_bearer = tokens.token_type.eq_ignore_ascii_case("bearer");
            return if is_bearer { Ok(tokens) } else { Err(LoginError::Answer) };
        }
        let failure = serde_json::from_str::<Failure>(text).map_err(|_| LoginError::Status)?;
        Err(match failure.error.as_str() {
            "invalid_grant" => LoginError::Code,
            "invalid_client" | "unauthorized_client" => LoginError::ClientRefused,
            _ => LoginError::Status,
        })
    }

    /// The client shows that it holds its key (`private_key_jwt`, RFC 7523 §3).
    fn assertion(&self, keys: &ClientKeys, metadata: &Metadata) -> Result<Zeroizing<String>, LoginError> {
        let settings = &self.settings;
        let audience = match settings.assertion_audience {
            AssertionAudience::Issuer => &settings.issuer,
            AssertionAudience::TokenEndpoint => &metadata.token_endpoint,
        };
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).map_err(|_| LoginError::Randomness)?;
        let now_s = now_s();
        let claims = json!({
            "iss": settings.client_id, "sub": settings.client_id, "aud": audience, "jti": hex::encode(jti), "iat": now_s,
            "exp": now_s + ASSERTION_S,
        });
        keys.sign("JWT", &claims)
    }

    async fn userinfo(&self, endpoint: &str, access_token: &str, login: &Signed) -> Result<Signed, LoginError> {
        let ask = http::Ask { url: endpoint, body: None, bearer: Some(access_token), bytes_max: ENCRYPTED_BYTES_MAX };
        let answer = self.web.ask(ask).await?;
        if answer.status != 200 {
            return Err(LoginError::Status);
        }
        if answer.content_type != "application/jwt" {
            // Claims without a signature: nobody could check later that they were said.
            return Err(LoginError::Malformed);
        }
        let text = std::str::from_utf8(&answer.body).map_err(|_| LoginError::Answer)?;
        let decryption = self.keys.as_ref().map_or(&[][..], |keys| &keys.decryption);
        let text = verify::decrypted(text.trim_ascii(), &self.settings, decryption)?;
        let (_, keys) = self.known(Some(&verify::key_named(&text)?)).await?;
        verify::userinfo(text, &keys, &self.settings, (&login.claims, now_s()))
    }

    fn person(&self, login: &Claims, on_person: &Claims) -> Result<Person, LoginError> {
        let text = |name: &str| {
            let text = on_person.optional_text(name).map_err(malformed)?;
            let text = text.map_or_else(|| login.optional_text(name).map_err(malformed), |text| Ok(Some(text)))?;
            match text {
                Some(text) if text.len() > TRAIT_BYTES_MAX || text.chars().any(char::is_control) => {
                    Err(LoginError::Malformed)
                }
                text => Ok(text.map(str::to_owned)),
            }
        };
        let named = |name: &Option<String>| name.as_deref().map_or(Ok(None), text);
        Ok(Person {
            issuer: self.settings.issuer.clone(),
            sub: verify::subject(login)?.to_owned(),
            family_name: text("family_name")?,
            given_name: text("given_name")?,
            birthdate: text("birthdate")?,
            gender: text("gender")?,
            birthplace: text("birthplace")?,
            birthcountry: text("birthcountry")?,
            ins: named(&self.settings.ins_claim)?,
            oid: named(&self.settings.oid_claim)?,
        })
    }

    /// The provider's document and keys: what is known, read again where it is old, or where a token names a key that isn't in it.
    async fn known(&self, kid: Option<&str>) -> Result<(Arc<Metadata>, Arc<ProviderKeys>), LoginError> {
        let mut known = self.known.lock().await;
        let now_s = now_s();
        let is_fresh = now_s.saturating_sub(known.read_s) < FRESH_S;
        let is_named = kid.is_none_or(|kid| known.keys.has(kid));
        let pause_s = if known.metadata.is_none() { RETRY_S } else { AGAIN_S };
        let may_read = now_s.saturating_sub(known.tried_s) >= pause_s;
        if (!is_fresh || !is_named) && may_read {
            let read = self.read().await;
            // From its end: whoever waited for this reading doesn't wait for another one.
            let now_s = self::now_s();
            known.tried_s = now_s;
            match read {
                Ok((metadata, keys)) => {
                    (known.metadata, known.keys, known.read_s) = (Some(Arc::new(metadata)), Arc::new(keys), now_s);
                }
                Err(error) => {
                    tracing::warn!(code = error.code(), "the provider's document or keys can't be read: {error}");
                    let is_usable = known.metadata.is_some() && now_s.saturating_sub(known.read_s) < STALE_S;
                    if !is_usable {
                        *known = Known { tried_s: now_s, ..Known::default() };
                        return Err(error);
                    }
                }
            }
        }
        let is_usable = now_s.saturating_sub(known.read_s) < STALE_S;
        let metadata = known.metadata.clone().filter(|_| is_usable).ok_or(LoginError::Unreachable)?;
        Ok((metadata, Arc::clone(&known.keys)))
    }

    async fn read(&self) -> Result<(Metadata, ProviderKeys), LoginError> {
        let address = Metadata::address(&self.settings);
        let document = self.get(&address, DOCUMENT_BYTES_MAX).await?;
        let metadata = Metadata::parse(&document.body, &self.settings)?;
        let set = self.get(&metadata.jwks_uri, SET_BYTES_MAX).await?;
        Ok((metadata, ProviderKeys::parse(&set.body)?))
    }

    async fn get(&self, url: &str, bytes_max: usize) -> Result<Answer, LoginError> {
        let answer = self.web.ask(http::Ask { url, body: None, bearer: None, bytes_max }).await?;
        if answer.status == 200 { Ok(answer) } else { Err(LoginError::Status) }
    }
}

fn json_text(answer: &Answer) -> Result<&str, LoginError> {
    let text = std::str::from_utf8(&answer.body).map_err(|_| LoginError::Answer)?;
    if answer.content_type != "application/json" {
        return Err(if answer.status == 200 { LoginError::Answer } else { LoginError::Status });
    }
    check_names(text).map_err(|_| LoginError::Answer)?;
    Ok(text)
}

fn has(claims: &Claims, name: &str) -> bool {
    !matches!(claims.optional_text(name), Ok(None))
}

/// True if a token names a person by `sub` alone, so that it may stand in an address.
fn is_bare(token: &str) -> bool {
    let Ok(token) = Token::parse(token) else { return false };
    let claims: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&token.payload);
    claims.is_ok_and(|claims| claims.keys().all(|name| BARE_CLAIMS.contains(&name.as_str())))
}

fn now_s() -> u64 {
    now_ms() / 1_000
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
