//! Encrypted tokens: JWE in compact form (RFC 7516 §7.1), with ECDH-ES on P-256 (RFC 7518 §4.6) and A256GCM (§5.3) and nothing else.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::PublicKey;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sillage_rules::json::check_names;
use sillage_rules::will::TOKEN_BYTES_MAX;
use zeroize::Zeroizing;

use super::error::LoginError;
use super::keys::{DecryptionKey, point};

/// Bytes of an encrypted token: base64url makes four thirds of the token inside, and the header is added.
pub const ENCRYPTED_BYTES_MAX: usize = TOKEN_BYTES_MAX / 3 * 4 + 2_048;
/// Bytes of the parties' names in a key agreement.
const PARTY_BYTES_MAX: usize = 256;

/// The header. Members that would change how the rest is read are refused, others are ignored.
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    kid: Option<String>,
    epk: Option<Epk>,
    apu: Option<String>,
    apv: Option<String>,
    zip: Option<serde_json::Value>,
    crit: Option<serde_json::Value>,
    jku: Option<serde_json::Value>,
    x5u: Option<serde_json::Value>,
}

/// The sender's key, made for this one token.
#[derive(Deserialize)]
struct Epk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

/// True if a token is encrypted: it has five parts. A signed one has three.
pub fn is_encrypted(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 4
}

/// Opens a token with the key that it names: gives the signed token inside.
///
/// # Errors
/// [`LoginError::Malformed`], [`LoginError::Encryption`], [`LoginError::EncryptionKey`] or [`LoginError::Decryption`].
pub fn open(text: &str, keys: &[DecryptionKey]) -> Result<Zeroizing<String>, LoginError> {
    if text.len() > ENCRYPTED_BYTES_MAX {
        return Err(LoginError::TooLong);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let [protected, wrapped, iv, ciphertext, tag] = parts[..] else { return Err(LoginError::Malformed) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| LoginError::Malformed);
    let header = String::from_utf8(decode(protected)?).map_err(|_| LoginError::Malformed)?;
    check_names(&header).map_err(|_| LoginError::Malformed)?;
    let header: Header = serde_json::from_str(&header).map_err(|_| LoginError::Malformed)?;
    let foreign = [&header.zip, &header.crit, &header.jku, &header.x5u].iter().any(|member| member.is_some());
    if header.alg != "ECDH-ES" || header.enc != "A256GCM" || foreign || !wrapped.is_empty() {
        return Err(LoginError::Encryption);
    }
    let key = match &header.kid {
        Some(kid) => keys.iter().find(|key| key.kid == *kid),
        None => keys.first().filter(|_| keys.len() == 1),
    };
    let key = key.ok_or(LoginError::EncryptionKey)?;
    let content_key = agree(key, &header)?;
    let iv: [u8; 12] = decode(iv)?.try_into().map_err(|_| LoginError::Malformed)?;
    let (mut sealed, tag) = (decode(ciphertext)?, decode(tag)?);
    if tag.len() != 16 {
        return Err(LoginError::Malformed);
    }
    sealed.extend_from_slice(&tag);
    let cipher = Aes256Gcm::new_from_slice(content_key.as_slice()).expect("32 bytes are a key");
    let opened = cipher.decrypt(&Nonce::from(iv), Payload { msg: &sealed, aad: protected.as_bytes() });
    let opened = opened.map(Zeroizing::new).map_err(|_| LoginError::Decryption)?;
    match std::str::from_utf8(&opened) {
        Ok(text) if text.len() <= TOKEN_BYTES_MAX => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) => Err(LoginError::TooLong),
        Err(_) => Err(LoginError::Malformed),
    }
}

/// The key of the content, from the sender's key and ours.
fn agree(key: &DecryptionKey, header: &Header) -> Result<Zeroizing<[u8; 32]>, LoginError> {
    let epk = header.epk.as_ref().ok_or(LoginError::Malformed)?;
    if epk.kty != "EC" || epk.crv != "P-256" {
        return Err(LoginError::Encryption);
    }
    let sender = point(&epk.x, &epk.y).ok_or(LoginError::Malformed)?;
    // It refuses what isn't a point of the curve: such a point would draw our key out of us, bit by bit.
    let sender = PublicKey::from_sec1_bytes(&sender).map_err(|_| LoginError::Malformed)?;
    let shared = key.secret.diffie_hellman(&sender);
    let party = |text: &Option<String>| match text {
        None => Ok(Vec::new()),
        Some(text) if text.len() <= PARTY_BYTES_MAX => URL_SAFE_NO_PAD.decode(text).map_err(|_| LoginError::Malformed),
        Some(_) => Err(LoginError::Malformed),
    };
    Ok(derive(shared.raw_secret_bytes().as_slice(), &header.enc, &party(&header.apu)?, &party(&header.apv)?, 256))
}

/// The Concat KDF of NIST SP 800-56A with SHA-256, one round (RFC 7518 §4.6.2). `bits` is the length that the content's key has; of
/// the 32 bytes that come out, a shorter key is the first ones.
fn derive(shared: &[u8], enc: &str, apu: &[u8], apv: &[u8], bits: u32) -> Zeroizing<[u8; 32]> {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("bounds were checked").to_be_bytes();
    let mut hash = Sha256::new();
    hash.update(1_u32.to_be_bytes());
    hash.update(shared);
    for part in [enc.as_bytes(), apu, apv] {
        hash.update(len(part));
        hash.update(part);
    }
    hash.update(bits.to_be_bytes());
    Zeroizing::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::keys::ClientKeys;
    use super::super::testing::seal;
    use super::*;

    #[test]
    fn the_key_agreement_gives_what_the_standard_s_example_gives() {
        // RFC 7518, appendix C: Bob opens what Alice sent with A128GCM.
        let secret = URL_SAFE_NO_PAD.decode("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw").expect("base64url");
        let secret = p256::SecretKey::from_slice(&secret).expect("a key");
        let alice = point("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0", "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps");
        let alice = PublicKey::from_sec1_bytes(&alice.expect("a point")).expect("a key");
        let shared = secret.diffie_hellman(&alice);
        let key = derive(shared.raw_secret_bytes().as_slice(), "A128GCM", b"Alice", b"Bob", 128);
        assert_eq!(URL_SAFE_NO_PAD.encode(&key[..16]), "VqqN6vgjbSBcIijNcacQGg");
    }

    fn keys() -> ClientKeys {
        ClientKeys::parse(&ClientKeys::generate().expect("keys")).expect("a file")
    }

    #[test]
    fn a_token_opens_with_its_key_and_no_other() {
        let (mine, theirs) = (keys(), keys());
        let sealed = seal("a.b.c", &mine, &json!({}));
        assert!(is_encrypted(&sealed) && !is_encrypted("a.b.c"));
        assert_eq!(*open(&sealed, &mine.decryption).expect("ours"), "a.b.c");
        assert_eq!(open(&sealed, &theirs.decryption), Err(LoginError::EncryptionKey));
        let nameless = seal("a.b.c", &mine, &json!({"kid": null}));
        assert_eq!(*open(&nameless, &mine.decryption).expect("the only key"), "a.b.c");
        assert_eq!(open(&nameless, &theirs.decryption), Err(LoginError::Decryption), "sealed for another key");
    }

    #[test]
    fn each_changed_byte_and_each_other_way_is_refused() {
        let keys = keys();
        let sealed = seal("a.b.c", &keys, &json!({}));
        for (at, byte) in sealed.bytes().enumerate() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if byte == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // The last character of a part has bits that count for nothing: the decoder refuses those that are set.
            if changed != sealed {
                assert!(open(&changed, &keys.decryption).is_err(), "byte {at}");
            }
        }
        let refused = |change: Value| open(&seal("a.b.c", &keys, &change), &keys.decryption).expect_err("refused");
        for other in [
            json!({"alg": "RSA-OAEP"}),
            json!({"alg": "dir"}),
            json!({"alg": "ECDH-ES+A256KW"}),
            json!({"enc": "A128CBC-HS256"}),
            json!({"zip": "DEF"}),
            json!({"crit": ["x"]}),
            json!({"jku": "https://evil.example"}),
        ] {
            assert_eq!(refused(other.clone()), LoginError::Encryption, "{other}");
        }
        let no_point = URL_SAFE_NO_PAD.encode([7; 32]);
        let epk = json!({"epk": {"kty": "EC", "crv": "P-256", "x": no_point, "y": no_point}});
        assert_eq!(refused(epk), LoginError::Malformed, "not on the curve");
        assert_eq!(refused(json!({"epk": null})), LoginError::Malformed);
        let long = "x".repeat(ENCRYPTED_BYTES_MAX + 1);
        assert_eq!(open(&long, &keys.decryption), Err(LoginError::TooLong));
        for text in ["", "....", "a.b.c", "!.....", "a.b.c.d.e.f"] {
            assert!(open(text, &keys.decryption).is_err(), "{text}");
        }
    }
}
