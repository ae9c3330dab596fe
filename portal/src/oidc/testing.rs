//! Tokens as a provider makes them, for the tests of this folder.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::keys::{ClientKeys, ProviderKeys};

/// A provider's keys: a client's set does as well.
pub fn provider() -> (ClientKeys, ProviderKeys) {
    let keys = ClientKeys::parse(&ClientKeys::generate().expect("keys")).expect("a file");
    let public = ProviderKeys::parse(keys.public_jwks().to_string().as_bytes()).expect("a set");
    (keys, public)
}

/// Seals a text for the first key of `keys`, by ring where the code under test uses p256. `change` replaces members of the header.
pub fn seal(text: &str, keys: &ClientKeys, change: &Value) -> String {
    let rng = SystemRandom::new();
    let ephemeral = EphemeralPrivateKey::generate(&ECDH_P256, &rng).expect("a key");
    let epk = ephemeral.compute_public_key().expect("a key");
    let (x, y) = (URL_SAFE_NO_PAD.encode(&epk.as_ref()[1..33]), URL_SAFE_NO_PAD.encode(&epk.as_ref()[33..]));
    let recipient = keys.decryption.first().expect("a key");
    let mut header = json!({
        "alg": "ECDH-ES", "enc": "A256GCM", "cty": "JWT", "kid": recipient.kid, "epk": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
    });
    for (name, value) in change.as_object().expect("an object") {
        match value.is_null() {
            true => drop(header.as_object_mut().expect("an object").remove(name)),
            false => header[name] = value.clone(),
        }
    }
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let public = public(&recipient.secret);
    let key: [u8; 32] = agree_ephemeral(ephemeral, &UnparsedPublicKey::new(&ECDH_P256, public), |shared| {
        let other_info = [&7_u32.to_be_bytes()[..], b"A256GCM", &[0; 4], &[0; 4], &256_u32.to_be_bytes()].concat();
        Sha256::new().chain_update([0, 0, 0, 1]).chain_update(shared).chain_update(other_info).finalize().into()
    })
    .expect("a point");
    let sealed = Aes256Gcm::new_from_slice(&key)
        .expect("a key")
        .encrypt(&Nonce::from([9; 12]), Payload { msg: text.as_bytes(), aad: protected.as_bytes() })
        .expect("sealed");
    let (ciphertext, tag) = sealed.split_at(sealed.len() - 16);
    let [iv, ciphertext, tag] = [&[9; 12][..], ciphertext, tag].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{protected}..{iv}.{ciphertext}.{tag}")
}

fn public(secret: &SecretKey) -> Vec<u8> {
    secret.public_key().to_sec1_point(false).as_bytes().to_vec()
}
