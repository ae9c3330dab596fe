//! The refusals of a login. None holds a token, a claim, or text that came from outside.

/// Why a login isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LoginError {
    /// No connection.
    #[error("the provider can't be reached")]
    Unreachable,
    /// It took too long.
    #[error("the provider doesn't answer in time")]
    Slow,
    /// A redirect where an answer belongs. None is followed: it could carry a code or a token to somebody else.
    #[error("the provider answered with a redirect, and none is followed")]
    Redirected,
    /// More bytes than an answer of this sort has.
    #[error("the provider's answer is too long")]
    TooLong,
    /// A status that isn't the expected one.
    #[error("the provider answered with an unexpected status")]
    Status,
    /// Not the form that the protocol says.
    #[error("the provider's answer isn't in the form that OpenID Connect says")]
    Answer,
    /// The document of the provider names another issuer than the settings.
    #[error("the provider's document is of another issuer than the settings say")]
    DiscoveryIssuer,
    /// An address in it leads elsewhere, or isn't https.
    #[error("the provider's document names an address on a host that the settings don't list, or without https")]
    DiscoveryHost,
    /// It can't do what is asked of it.
    #[error("the provider's document lists no ES256, S256, code flow, or the level that is asked for")]
    Unsupported,
    /// The state of the answer isn't the one that was sent: somebody else began this login.
    #[error("the answer belongs to another login than the one that this browser began")]
    State,
    /// Too long ago.
    #[error("the login was begun too long ago: begin it again")]
    Stale,
    /// The answer names another provider (RFC 9207).
    #[error("the answer is of another provider")]
    ResponseIssuer,
    /// The answer can't be read in one way.
    #[error("the provider's return isn't in the form that OpenID Connect says")]
    Return,
    /// The person stopped, or the provider can't establish who they are (FranceConnect: unknown to the register of persons, a homonym).
    #[error("the person stopped, or the provider can't establish who they are")]
    Cancelled,
    /// The provider refused to log the person in.
    #[error("the provider refused this login")]
    Refused,
    /// The provider can't log anybody in at this time.
    #[error("the provider can't log anybody in at this time")]
    Unavailable,
    /// The code was used, is over, or isn't of this client.
    #[error("the provider refuses the code: it was used before, or it is over")]
    Code,
    /// The provider doesn't know this client, or its key.
    #[error("the provider refuses this client: compare client_id, key and address of return with its registration")]
    ClientRefused,
    /// An answer that should be encrypted isn't.
    #[error("a token isn't encrypted, and the settings say that tokens are")]
    NotEncrypted,
    /// Another encryption.
    #[error("a token is encrypted in another way than ECDH-ES with A256GCM, or not at all as the settings say")]
    Encryption,
    /// For a key that this client doesn't have.
    #[error("a token is encrypted for a key that this client doesn't have")]
    EncryptionKey,
    /// It doesn't decrypt.
    #[error("a token can't be decrypted: it was made for another key, or changed")]
    Decryption,
    /// Not a signed JWT that can be read in one way.
    #[error("a token isn't a signed JWT in compact form with `alg` and `kid`, or lacks a claim")]
    Malformed,
    /// `none`, a shared secret, or any other than the pinned one.
    #[error("a token is signed with another algorithm than ES256")]
    Algorithm,
    /// A key that the provider doesn't publish.
    #[error("a token names a key that the provider doesn't publish")]
    Key,
    /// The signature is another one.
    #[error("the provider didn't sign this token")]
    Signature,
    /// Of another issuer.
    #[error("a token is of another issuer")]
    Issuer,
    /// For another service.
    #[error("a token was made for another service")]
    Audience,
    /// Over.
    #[error("a token is over")]
    Expired,
    /// Not yet.
    #[error("a token doesn't count yet: compare the clocks")]
    Early,
    /// For another login.
    #[error("the ID token belongs to another login: its nonce is another one")]
    Nonce,
    /// Less sure than was asked for.
    #[error("the login is of a lower level than was asked for")]
    Level,
    /// Too long ago, or not said.
    #[error("the person logged in too long ago, or the provider doesn't say when")]
    TooOld,
    /// The access token isn't the one of the ID token.
    #[error("the access token isn't the one that the ID token names")]
    AccessToken,
    /// Userinfo is about somebody else.
    #[error("the userinfo answer is about somebody else than the ID token")]
    Subject,
    /// The machine has no randomness to give.
    #[error("this machine gives no randomness")]
    Randomness,
}

/// The way out of a refusal, for the page that tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing is wrong with the person or the settings: wait and begin again.
    Later,
    /// Begin again.
    Again,
    /// Begin again with a stronger means of login.
    Stronger,
    /// The operator has to look: the settings, the provider, or an attack.
    Operator,
}

impl LoginError {
    /// Every refusal.
    pub const ALL: [Self; 36] = [
        Self::Unreachable,
        Self::Slow,
        Self::Redirected,
        Self::TooLong,
        Self::Status,
        Self::Answer,
        Self::DiscoveryIssuer,
        Self::DiscoveryHost,
        Self::Unsupported,
        Self::State,
        Self::Stale,
        Self::ResponseIssuer,
        Self::Return,
        Self::Cancelled,
        Self::Refused,
        Self::Unavailable,
        Self::Code,
        Self::ClientRefused,
        Self::NotEncrypted,
        Self::Encryption,
        Self::EncryptionKey,
        Self::Decryption,
        Self::Malformed,
        Self::Algorithm,
        Self::Key,
        Self::Signature,
        Self::Issuer,
        Self::Audience,
        Self::Expired,
        Self::Early,
        Self::Nonce,
        Self::Level,
        Self::TooOld,
        Self::AccessToken,
        Self::Subject,
        Self::Randomness,
    ];

    /// Its name in a log line, on a page and in a metric.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "OIDC_UNREACHABLE",
            Self::Slow => "OIDC_SLOW",
            Self::Redirected => "OIDC_REDIRECTED",
            Self::TooLong => "OIDC_TOO_LONG",
            Self::Status => "OIDC_STATUS",
            Self::Answer => "OIDC_ANSWER",
            Self::DiscoveryIssuer => "OIDC_DISCOVERY_ISSUER",
            Self::DiscoveryHost => "OIDC_DISCOVERY_HOST",
            Self::Unsupported => "OIDC_UNSUPPORTED",
            Self::State => "OIDC_STATE",
            Self::Stale => "OIDC_STALE",
            Self::ResponseIssuer => "OIDC_RESPONSE_ISSUER",
            Self::Return => "OIDC_RETURN",
            Self::Cancelled => "OIDC_CANCELLED",
            Self::Refused => "OIDC_REFUSED",
            Self::Unavailable => "OIDC_UNAVAILABLE",
            Self::Code => "OIDC_CODE",
            Self::ClientRefused => "OIDC_CLIENT",
            Self::NotEncrypted => "OIDC_NOT_ENCRYPTED",
            Self::Encryption => "OIDC_ENCRYPTION",
            Self::EncryptionKey => "OIDC_ENCRYPTION_KEY",
            Self::Decryption => "OIDC_DECRYPTION",
            Self::Malformed => "OIDC_MALFORMED",
            Self::Algorithm => "OIDC_ALGORITHM",
            Self::Key => "OIDC_KEY",
            Self::Signature => "OIDC_SIGNATURE",
            Self::Issuer => "OIDC_ISSUER",
            Self::Audience => "OIDC_AUDIENCE",
            Self::Expired => "OIDC_EXPIRED",
            Self::Early => "OIDC_EARLY",
            Self::Nonce => "OIDC_NONCE",
            Self::Level => "OIDC_LEVEL",
            Self::TooOld => "OIDC_TOO_OLD",
            Self::AccessToken => "OIDC_ACCESS_TOKEN",
            Self::Subject => "OIDC_SUBJECT",
            Self::Randomness => "OIDC_RANDOMNESS",
        }
    }

    /// The way out.
    pub const fn advice(self) -> Advice {
        match self {
            Self::Unreachable | Self::Slow | Self::Status | Self::Unavailable | Self::Randomness => Advice::Later,
            Self::State
            | Self::Stale
            | Self::Return
            | Self::Cancelled
            | Self::Refused
            | Self::Code
            | Self::Expired
            | Self::Nonce
            | Self::TooOld => Advice::Again,
            Self::Level => Advice::Stronger,
            _ => Advice::Operator,
        }
    }
}

/// The settings of a client can't be used. The text is for the operator and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[oidc] {field}: {why}")]
pub struct SettingsError {
    /// The setting.
    pub field: &'static str,
    /// The reason, and what to do.
    pub why: String,
}

impl SettingsError {
    /// Of this setting.
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_code_of_its_own() {
        let mut codes: Vec<&str> = LoginError::ALL.iter().map(|error| error.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), LoginError::ALL.len());
    }

    #[test]
    fn the_page_on_logins_has_each_code_and_no_other() {
        let page = include_str!("../../../docs/login-oidc.md");
        let is_code = |word: &&str| word.starts_with("OIDC_") && word.len() > "OIDC_".len();
        let mut said: Vec<&str> = page.split('`').filter(is_code).collect();
        said.sort_unstable();
        said.dedup();
        let mut codes: Vec<&str> = LoginError::ALL.iter().map(|error| error.code()).collect();
        codes.sort_unstable();
        assert_eq!(said, codes);
    }
}
