//! Keys: the provider's, which sign tokens, and this client's, which sign its assertions and open what is encrypted for it.
//!
//! All are of P-256. The file of a client's keys is a JWKS (RFC 7517) with private parts, mode 0600: one key of `"use": "sig"`, and one
//! or more of `"use": "enc"`. With two of them the provider can change from one to the other while logins are under way.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sillage_rules::json::check_names;
use zeroize::Zeroizing;

use super::error::{LoginError, SettingsError};

/// Bytes of a JWKS.
pub const SET_BYTES_MAX: usize = 64 * 1_024;
/// Keys of a set.
const KEYS_MAX: usize = 64;
/// Bytes of a key's name.
const KID_BYTES_MAX: usize = 256;

/// A key in a set; others than of P-256 are left out. Wiped on drop, as `d` is a secret.
#[derive(Deserialize, Serialize)]
struct Jwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
}

wipe_on_drop!(Jwk: d);

#[derive(Deserialize, Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

impl Jwk {
    fn is_p256(&self) -> bool {
        self.kty == "EC" && self.crv.as_deref() == Some("P-256")
    }

    /// `04 ‖ x ‖ y`.
    fn point(&self) -> Option<[u8; 65]> {
        point(self.x.as_deref()?, self.y.as_deref()?)
    }

    fn name(&self) -> Option<String> {
        self.kid.clone().filter(|kid| !kid.is_empty() && kid.len() <= KID_BYTES_MAX)
    }
}

/// `04 ‖ x ‖ y`, from both coordinates in base64url; none where one hasn't 32 bytes.
pub(super) fn point(x: &str, y: &str) -> Option<[u8; 65]> {
    let mut point = [4; 65];
    for (text, place) in [(x, 1), (y, 33)] {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)?;
        point[place..place + 32].copy_from_slice(&bytes);
    }
    Some(point)
}

/// The keys with which a provider signs: ES256 alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderKeys(Vec<(String, [u8; 65])>);

impl ProviderKeys {
    /// Reads the provider's set. Keys of other sorts, for encryption, for another algorithm or without a name are left out.
    ///
    /// # Errors
    /// [`LoginError::Answer`]: it is none, or two of its keys have one name.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoginError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LoginError::Answer)?;
        check_names(text).map_err(|_| LoginError::Answer)?;
        let set: Jwks = serde_json::from_str(text).map_err(|_| LoginError::Answer)?;
        if set.keys.len() > KEYS_MAX {
            return Err(LoginError::Answer);
        }
        let signs = |key: &&Jwk| {
            key.is_p256()
                && key.used.as_deref().is_none_or(|used| used == "sig")
                && key.alg.as_deref().is_none_or(|alg| alg == "ES256")
        };
        let keys: Vec<_> = set.keys.iter().filter(signs).filter_map(|key| Some((key.name()?, key.point()?))).collect();
        let twice = keys.iter().enumerate().any(|(at, (kid, _))| keys[..at].iter().any(|(other, _)| other == kid));
        if twice { Err(LoginError::Answer) } else { Ok(Self(keys)) }
    }

    /// True if there is a key of this name.
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|(known, _)| known == kid)
    }

    /// The keys: name, and `04 ‖ x ‖ y`, as `sillage keys issuer` publishes them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8; 65])> {
        self.0.iter().map(|(kid, point)| (kid.as_str(), point))
    }

    /// Checks the signature of the key of this name.
    ///
    /// # Errors
    /// [`LoginError::Key`] or [`LoginError::Signature`].
    pub fn verify(&self, kid: &str, message: &[u8], signature: &[u8]) -> Result<(), LoginError> {
        let (_, point) = self.0.iter().find(|(known, _)| known == kid).ok_or(LoginError::Key)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message, signature).map_err(|_| LoginError::Signature)
    }
}

/// A key of this client that opens what is encrypted for it.
pub struct DecryptionKey {
    /// Its name.
    pub kid: String,
    /// The key.
    pub secret: SecretKey,
}

/// The private keys of this client.
pub struct ClientKeys {
    kid: String,
    signing: EcdsaKeyPair,
    /// The keys that open.
    pub decryption: Vec<DecryptionKey>,
    public: Value,
}

impl std::fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKeys(..)")
    }
}

impl ClientKeys {
    /// Makes a signing key and a key that opens: the text of their file.
    ///
    /// # Errors
    /// [`LoginError::Randomness`].
    pub fn generate() -> Result<Zeroizing<String>, LoginError> {
        let keys = Jwks { keys: vec![make("sig", "ES256")?, make("enc", "ECDH-ES")?] };
        let text = serde_json::to_string_pretty(&keys).expect("texts make JSON");
        Ok(Zeroizing::new(text + "\n"))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read, others may read it, or it isn't one.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = read_private("keys", path)?;
        Self::parse(&text).map_err(|why| SettingsError::new("keys", format!("{}: {why}", path.display())))
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// Why it can't be used. No key is in it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let unreadable = "not a JWKS with private keys of P-256: `sillage-portal` makes one";
        check_names(text).map_err(|_| unreadable)?;
        let set: Jwks = serde_json::from_str(text).map_err(|_| unreadable)?;
        let (mut signing, mut decryption, mut public) = (None, Vec::<DecryptionKey>::new(), Vec::new());
        for key in &set.keys {
            let kid = key.name().ok_or("a key has no `kid`, or a longer one than 256 bytes")?;
            if !key.is_p256() {
                return Err("a key isn't of P-256");
            }
            let d = key.d.as_deref().and_then(|d| URL_SAFE_NO_PAD.decode(d).ok()).map(Zeroizing::new);
            let d = d.filter(|d| d.len() == 32).ok_or("a key has no private part `d` of 32 bytes")?;
            let point = key.point().ok_or("a key has no `x` and `y` of 32 bytes each")?;
            match key.used.as_deref() {
                Some("sig") if signing.is_some() => return Err("two keys sign: leave one"),
                Some("sig") => {
                    let rng = SystemRandom::new();
                    let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                    let pair = EcdsaKeyPair::from_private_key_and_public_key(alg, &d, &point, &rng);
                    signing = Some((kid.clone(), pair.map_err(|_| "the parts of a key don't belong together")?));
                }
                Some("enc") => {
                    let secret = SecretKey::from_slice(&d).map_err(|_| "a key isn't a number of P-256")?;
                    if *secret.public_key().to_sec1_point(false).as_bytes() != point {
                        return Err("the parts of a key don't belong together");
                    }
                    if decryption.iter().any(|known| known.kid == kid) {
                        return Err("two keys have one `kid`");
                    }
                    decryption.push(DecryptionKey { kid: kid.clone(), secret });
                }
                _ => return Err("a key says neither `\"use\": \"sig\"` nor `\"use\": \"enc\"`"),
            }
            let alg = if key.used.as_deref() == Some("sig") { "ES256" } else { "ECDH-ES" };
            public.push(json!({
                "kty": "EC", "crv": "P-256", "use": key.used, "alg": alg, "kid": kid, "x": key.x, "y": key.y,
            }));
        }
        let (kid, signing) = signing.ok_or("no key signs: `\"use\": \"sig\"`")?;
        Ok(Self { kid, signing, decryption, public: json!({ "keys": public }) })
    }

    /// The public halves, as the provider is given them.
    pub fn public_jwks(&self) -> &Value {
        &self.public
    }

    /// Signs claims with ES256: a JWT in compact form.
    ///
    /// # Errors
    /// [`LoginError::Randomness`].
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<Zeroizing<String>, LoginError> {
        let header = json!({"alg": "ES256", "typ": typ, "kid": self.kid});
        let claims = Zeroizing::new(claims.to_string());
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(&*claims));
        let signature =
            self.signing.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| LoginError::Randomness)?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn make(used: &str, alg: &str) -> Result<Jwk, LoginError> {
    let mut kid = [0; 12];
    getrandom::fill(&mut kid).map_err(|_| LoginError::Randomness)?;
    let secret = loop {
        let mut d = Zeroizing::new([0; 32]);
        getrandom::fill(d.as_mut_slice()).map_err(|_| LoginError::Randomness)?;
        // One number in 2^32 is none of the curve's.
        if let Ok(secret) = SecretKey::from_slice(d.as_slice()) {
            break secret;
        }
    };
    let point = secret.public_key().to_sec1_point(false);
    let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..]);
    Ok(Jwk {
        kty: "EC".to_owned(),
        crv: Some("P-256".to_owned()),
        kid: Some(URL_SAFE_NO_PAD.encode(kid)),
        used: Some(used.to_owned()),
        alg: Some(alg.to_owned()),
        x: Some(URL_SAFE_NO_PAD.encode(x)),
        y: Some(URL_SAFE_NO_PAD.encode(y)),
        d: Some(URL_SAFE_NO_PAD.encode(Zeroizing::new(secret.to_bytes()))),
    })
}

/// Reads a file that holds a secret: nobody else may read it.
pub(crate) fn read_private(field: &'static str, path: &Path) -> Result<Zeroizing<String>, SettingsError> {
    use std::os::unix::fs::PermissionsExt as _;
    let wrong = |why: &dyn std::fmt::Display| SettingsError::new(field, format!("{}: {why}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| wrong(&error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(wrong(&"other users of this machine may read it: chmod 600 it"));
    }
    if metadata.len() > SET_BYTES_MAX as u64 {
        return Err(wrong(&format!("longer than {SET_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_signs_with_keys_that_it_made_and_the_provider_verifies_it() {
        let text = ClientKeys::generate().expect("keys");
        let keys = ClientKeys::parse(&text).expect("its own file");
        let token = keys.sign("JWT", &json!({"iss": "c"})).expect("a signature");
        let public = keys.public_jwks().to_string();
        assert!(!public.contains("\"d\""), "the private part stays here");
        let known = ProviderKeys::parse(public.as_bytes()).expect("a set");
        assert_eq!(known.iter().count(), 1, "the key for encryption is left out");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert_eq!(known.verify(&keys.kid, signed.as_bytes(), &signature), Ok(()));
        assert_eq!(known.verify(&keys.kid, b"another", &signature), Err(LoginError::Signature));
        assert_eq!(known.verify("another", signed.as_bytes(), &signature), Err(LoginError::Key));
        assert_eq!(format!("{keys:?}"), "ClientKeys(..)");
    }

    #[test]
    fn a_file_whose_parts_do_not_belong_together_is_refused() {
        let text = ClientKeys::generate().expect("keys");
        let other = ClientKeys::generate().expect("keys");
        let (mut mine, theirs): (Value, Value) =
            (serde_json::from_str(&text).expect("JSON"), serde_json::from_str(&other).expect("JSON"));
        for at in 0..2 {
            let kept = std::mem::replace(&mut mine["keys"][at]["d"], theirs["keys"][at]["d"].clone());
            assert!(ClientKeys::parse(&mine.to_string()).is_err(), "key {at}");
            mine["keys"][at]["d"] = kept;
        }
        assert!(ClientKeys::parse(&mine.to_string()).is_ok());
        mine["keys"][0]["use"] = json!("enc");
        assert!(ClientKeys::parse(&mine.to_string()).is_err_and(|why| why.contains("signs")));
    }

    #[test]
    fn a_provider_s_set_is_read_strictly_and_leaves_out_what_signs_no_es256() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let key =
            |kid: &str, more: &str| format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{x}"{more}}}"#);
        let set = |keys: &[String]| ProviderKeys::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        let rsa = r#"{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}"#.to_owned();
        let found =
            set(&[key("a", ""), key("b", r#","use":"enc""#), key("c", r#","alg":"ES384""#), rsa]).expect("a set");
        assert!(found.has("a") && !found.has("b") && !found.has("c") && !found.has("r"));
        assert_eq!(set(&[key("a", ""), key("a", "")]), Err(LoginError::Answer), "two of one name");
        assert_eq!(ProviderKeys::parse(br#"{"keys":[],"keys":[]}"#), Err(LoginError::Answer));
        assert_eq!(ProviderKeys::parse(b"[]"), Err(LoginError::Answer));
        assert_eq!(set(&(0..65).map(|n| key(&n.to_string(), "")).collect::<Vec<_>>()), Err(LoginError::Answer));
    }
}
