//! ECVRF-EDWARDS25519-SHA512-ELL2 (RFC 9381 §5, suite string 0x04): a keyed hash whose output anyone can check against
//! the public key.
//!
//! Written on `curve25519-dalek`, which has the map to the curve (RFC 9380, Elligator 2) in constant time: unlike
//! try-and-increment, it doesn't tell by its timing which identity was hashed. Scalars and points are read in their one
//! canonical encoding only (RFC 9381 §5.4.4 and §5.5), so a proof can't be respelled.

use std::fmt;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::VartimeMultiscalarMul;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

/// `ECVRF_` ‖ h2c suite id ‖ suite string (RFC 9381 §5.4.1.2).
const DOMAIN: &[u8] = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_\x04";
const SUITE: u8 = 0x04;
const CHALLENGE_FRONT: u8 = 0x02;
const PROOF_TO_HASH_FRONT: u8 = 0x03;
const BACK: u8 = 0x00;

/// Length of a proof, in bytes: a point, half a scalar, a scalar.
pub const PROOF_LEN: usize = 80;
/// Length of an output, in bytes.
pub const OUTPUT_LEN: usize = 64;

/// A key or a proof is malformed, or a proof doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VrfError {
    /// Not the canonical encoding of a point of large order.
    #[error("not a VRF public key: expected the canonical encoding of a point of large order, 32 bytes")]
    PublicKey,
    /// Not 80 bytes, or not canonical.
    #[error("not a VRF proof: expected 80 bytes with canonical encodings")]
    Malformed,
    /// The proof doesn't hold for this input and key.
    #[error("the VRF proof does not hold for this input and key")]
    Invalid,
}

/// A VRF private key. Wiped on drop, never printed.
pub struct VrfSecretKey {
    seed: Zeroizing<[u8; 32]>,
    x: Scalar,
    nonce_prefix: Zeroizing<[u8; 32]>,
    public: VrfPublicKey,
}

impl Drop for VrfSecretKey {
    fn drop(&mut self) {
        self.x.zeroize();
    }
}

impl fmt::Debug for VrfSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfSecretKey(of {})", self.public)
    }
}

impl VrfSecretKey {
    /// The key of a 32-byte seed (RFC 9381 §5.5: expanded as RFC 8032 §5.1.5 does).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let expanded: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(&seed[..]).into());
        let (low, high) = expanded.split_at(32);
        let low: Zeroizing<[u8; 32]> = Zeroizing::new(low.try_into().expect("32 of 64 bytes"));
        let high: Zeroizing<[u8; 32]> = Zeroizing::new(high.try_into().expect("32 of 64 bytes"));
        // Every point it multiplies is in the prime-order subgroup, so x modulo the order gives the same products.
        let x = Scalar::from_bytes_mod_order(clamp_integer(*low));
        let point = EdwardsPoint::mul_base(&x);
        let bytes = point.compress().to_bytes();
        Self { seed, x, nonce_prefix: high, public: VrfPublicKey { bytes, point } }
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::from_seed(*seed))
    }

    /// The seed, to store in a key file; wiped when dropped.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> &VrfPublicKey {
        &self.public
    }

    /// The output for `alpha` and its proof (RFC 9381 §5.1). Constant time in the key and in `alpha`, save its length.
    pub fn prove(&self, alpha: &[u8]) -> (VrfProof, [u8; OUTPUT_LEN]) {
        let h = self.public.encode_to_curve(alpha);
        let h_bytes = h.compress();
        let gamma = self.x * h;
        let nonce = Sha512::new().chain_update(&self.nonce_prefix[..]).chain_update(h_bytes.as_bytes()).finalize();
        let nonce: Zeroizing<[u8; 64]> = Zeroizing::new(nonce.into());
        let mut k = Scalar::from_bytes_mod_order_wide(&nonce);
        let points = [h, gamma, EdwardsPoint::mul_base(&k), k * h];
        let challenge = self.public.challenge(&points);
        let s = k + scalar_of(challenge) * self.x;
        k.zeroize();
        let proof = VrfProof { gamma, challenge, s };
        let output = proof.output();
        (proof, output)
    }
}

/// A VRF public key, checked once: canonical and of large order (RFC 9381 §5.4.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VrfPublicKey {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl VrfPublicKey {
    /// Parses 32 bytes.
    ///
    /// # Errors
    /// When they aren't the canonical encoding of a point of large order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VrfError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| VrfError::PublicKey)?;
        let point = point_from(bytes).ok_or(VrfError::PublicKey)?;
        match point.is_small_order() {
            true => Err(VrfError::PublicKey),
            false => Ok(Self { bytes, point }),
        }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Verifies that `proof` is for `alpha` under this key, and gives the output (RFC 9381 §5.3).
    ///
    /// # Errors
    /// [`VrfError::Invalid`] when it isn't.
    pub fn verify(&self, alpha: &[u8], proof: &VrfProof) -> Result<[u8; OUTPUT_LEN], VrfError> {
        let h = self.encode_to_curve(alpha);
        let c = scalar_of(proof.challenge);
        let scalars = [proof.s, -c];
        let u = EdwardsPoint::vartime_multiscalar_mul(scalars, [ED25519_BASEPOINT_POINT, self.point]);
        let v = EdwardsPoint::vartime_multiscalar_mul(scalars, [h, proof.gamma]);
        match self.challenge(&[h, proof.gamma, u, v]) == proof.challenge {
            true => Ok(proof.output()),
            false => Err(VrfError::Invalid),
        }
    }

    /// `ECVRF_encode_to_curve_h2c_suite` with the public key as salt (RFC 9381 §5.4.1.2).
    fn encode_to_curve(&self, alpha: &[u8]) -> EdwardsPoint {
        EdwardsPoint::encode_to_curve::<Sha512>(&[&self.bytes, alpha], &[DOMAIN])
    }

    /// `ECVRF_challenge_generation` over this key and four points (RFC 9381 §5.4.3).
    fn challenge(&self, points: &[EdwardsPoint; 4]) -> [u8; 16] {
        let mut hasher = Sha512::new();
        hasher.update([SUITE, CHALLENGE_FRONT]);
        hasher.update(self.bytes);
        for point in points {
            hasher.update(point.compress().as_bytes());
        }
        hasher.update([BACK]);
        let hash: [u8; 64] = hasher.finalize().into();
        let (challenge, _) = hash.split_first_chunk().expect("64 bytes");
        *challenge
    }
}

impl fmt::Display for VrfPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}

impl fmt::Debug for VrfPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfPublicKey({self})")
    }
}

impl std::str::FromStr for VrfPublicKey {
    type Err = VrfError;

    fn from_str(text: &str) -> Result<Self, VrfError> {
        Self::from_bytes(&hex::decode(text).map_err(|_| VrfError::PublicKey)?)
    }
}

/// A proof, `pi_string` of RFC 9381: a point, a challenge, a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VrfProof {
    gamma: EdwardsPoint,
    challenge: [u8; 16],
    s: Scalar,
}

impl VrfProof {
    /// Parses 80 bytes (RFC 9381 §5.4.4).
    ///
    /// # Errors
    /// When there are more or fewer, or the point or the scalar isn't canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VrfError> {
        let bytes: &[u8; PROOF_LEN] = bytes.try_into().map_err(|_| VrfError::Malformed)?;
        let (gamma, rest) = bytes.split_first_chunk::<32>().expect("80 bytes");
        let (challenge, s) = rest.split_first_chunk::<16>().expect("48 bytes");
        let s: [u8; 32] = s.try_into().expect("32 bytes");
        let s: Option<Scalar> = Scalar::from_canonical_bytes(s).into();
        Ok(Self {
            gamma: point_from(*gamma).ok_or(VrfError::Malformed)?,
            challenge: *challenge,
            s: s.ok_or(VrfError::Malformed)?,
        })
    }

    /// The 80 bytes.
    pub fn to_bytes(&self) -> [u8; PROOF_LEN] {
        let mut out = [0; PROOF_LEN];
        out[..32].copy_from_slice(self.gamma.compress().as_bytes());
        out[32..48].copy_from_slice(&self.challenge);
        out[48..].copy_from_slice(self.s.as_bytes());
        out
    }

    /// `ECVRF_proof_to_hash` (RFC 9381 §5.2). Means nothing before the proof is verified.
    fn output(&self) -> [u8; OUTPUT_LEN] {
        let gamma = self.gamma.mul_by_cofactor().compress();
        let hasher = Sha512::new()
            .chain_update([SUITE, PROOF_TO_HASH_FRONT])
            .chain_update(gamma.as_bytes())
            .chain_update([BACK]);
        hasher.finalize().into()
    }
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfProof({})", hex::encode(self.to_bytes()))
    }
}

/// A challenge as a scalar: 16 bytes, little-endian.
fn scalar_of(challenge: [u8; 16]) -> Scalar {
    Scalar::from(u128::from_le_bytes(challenge))
}

/// The point of a canonical encoding (RFC 8032 §5.1.3).
fn point_from(bytes: [u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(bytes).decompress()?;
    (point.compress().to_bytes() == bytes).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9381 Appendix B.4, examples 19 to 21: seed, public key, alpha, H, pi, beta.
    const VECTORS: [[&str; 6]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "b8066ebbb706c72b64390324e4a3276f129569eab100c26b9f05011200c1bad9",
            "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2fb37831e00f0acaa6d73bc9997b06501",
            "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cccf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "76ac3ccb86158a9104dff819b1ca293426d305fd76b39b13c9356d9b58c08e57",
            "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6bc064dbfc75a6a57379ef855dc6733801",
            "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e4635987cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "13d2a8b5ca32db7e98094a61f656a08c6c964344e058879a386a947a4e189ed1",
            "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe05467bb286cc2c9d7fde29120a0b2320d04",
            "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58",
        ],
    ];

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).expect("hexadecimal")
    }

    #[test]
    fn the_vectors_of_rfc_9381_hold() {
        for [seed, public, alpha, h, pi, beta] in VECTORS {
            let alpha = bytes(alpha);
            let key = VrfSecretKey::from_seed(bytes(seed).try_into().expect("32 bytes"));
            assert_eq!(key.public_key().to_string(), public);
            let encoded = key.public_key().encode_to_curve(&alpha).compress();
            assert_eq!(hex::encode(encoded.as_bytes()), h);
            let (proof, output) = key.prove(&alpha);
            assert_eq!(hex::encode(proof.to_bytes()), pi);
            assert_eq!(hex::encode(output), beta);
            let public: VrfPublicKey = public.parse().expect("published");
            let read = VrfProof::from_bytes(&bytes(pi)).expect("published");
            assert_eq!(public.verify(&alpha, &read), Ok(output));
        }
    }

    #[test]
    fn no_changed_bit_gets_through() {
        let [_, public, alpha, _, pi, _] = VECTORS[1];
        let (public, alpha, pi): (VrfPublicKey, _, _) = (public.parse().expect("published"), bytes(alpha), bytes(pi));
        for bit in 0..8 * pi.len() {
            let mut bad = pi.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = VrfProof::from_bytes(&bad).and_then(|bad| public.verify(&alpha, &bad));
            assert!(verdict.is_err(), "bit {bit}");
        }
        let proof = VrfProof::from_bytes(&pi).expect("published");
        assert_eq!(public.verify(b"s", &proof), Err(VrfError::Invalid));
        let other = VrfSecretKey::from_seed([5; 32]);
        assert_eq!(other.public_key().verify(&alpha, &proof), Err(VrfError::Invalid));
    }

    #[test]
    fn other_spellings_of_a_proof_are_refused() {
        let [.., pi, _] = VECTORS[0];
        let mut pi = bytes(pi);
        assert!(VrfProof::from_bytes(&pi[..79]).is_err());
        // s + q is the same scalar modulo the order q of the group.
        let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0_u16;
        for (byte, add) in pi[48..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0);
        assert_eq!(VrfProof::from_bytes(&pi), Err(VrfError::Malformed));
    }

    #[test]
    fn weak_and_non_canonical_keys_are_refused() {
        let mut twice = [0xff; 32];
        (twice[0], twice[31]) = (0xf0, 0x7f);
        let mut identity = [0; 32];
        identity[0] = 1;
        for bad in [&twice[..], &identity, &[0; 32], &[2; 31], &[]] {
            assert_eq!(VrfPublicKey::from_bytes(bad), Err(VrfError::PublicKey));
        }
        let key = VrfSecretKey::from_seed([7; 32]);
        assert!(!format!("{key:?}").contains("0707"));
    }
}
