//! The founders of a log: its authorities, and how many of them sign what touches many.
//!
//! The first authority's files stand in the folder of the deployment. Each further one has a folder of its own, complete in
//! itself, so that it can be carried to its holder:
//!
//! ```text
//! authority-2/  authority.toml  genesis.bin  policy.txt  tls/{ca.pem,authority.pem,authority.key}  keys/authority.key
//! ```

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sillage_proof::keys::{AuthorId, PublicKey, SigningKey};
use sillage_rules::authority::{GuardedActs, Rule};
use sillage_rules::limits::AUTHORITIES_MAX;
use sillage_rules::vouching::Vouching;

use super::genesis::PartyTerms;
use super::pki::Ca;
use super::profile::Profile;
use super::{InitError, authority_roles, files};

/// The keys of a log's first authorities, in order; `None`: the key is made, in the folder of the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founders(pub Vec<Option<PublicKey>>);

impl FromStr for Founders {
    type Err = String;

    /// A number, or files with a public key each (as `sillage keys new` prints it), separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse::<usize>() {
            return match count {
                0 => Err("a log has at least one authority".to_owned()),
                count if count > AUTHORITIES_MAX => Err(format!("a log has at most {AUTHORITIES_MAX} authorities")),
                count => Ok(Self(vec![None; count])),
            };
        }
        let key = |path: &str| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("can't read {path}: {error}"))?;
            let key = text.trim().parse().map_err(|_| {
                format!(
                    "{path} holds no public key: write the 64 hexadecimal characters that `sillage keys new` prints"
                )
            })?;
            Ok(Some(key))
        };
        let keys: Vec<_> = text.split(',').map(|path| key(path.trim())).collect::<Result<_, String>>()?;
        if keys.len() > AUTHORITIES_MAX {
            return Err(format!("a log has at most {AUTHORITIES_MAX} authorities"));
        }
        Ok(Self(keys))
    }
}

/// The authorities of a log to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritiesPlan {
    /// Their keys.
    pub founders: Founders,
    /// How many of them sign what the rule guards. 1: each acts alone, and the log begins without a rule.
    pub needed: u32,
    /// The first one's profile names the keys of all that were made, and signs with them at once: for test logs, where one
    /// person holds them all.
    pub in_one_hand: bool,
}

impl AuthoritiesPlan {
    /// So many, whose keys are made, of whom `needed` sign.
    pub fn made(count: usize, needed: u32) -> Self {
        Self { founders: Founders(vec![None; count]), needed, in_one_hand: false }
    }

    /// The further keys that the first one's profile names: as many as the rule needs.
    pub(super) fn cosign_keys(&self) -> Vec<String> {
        if !self.in_one_hand {
            return Vec::new();
        }
        let made = (1..).zip(&self.founders.0).skip(1).filter(|(_, key)| key.is_none());
        let further = self.needed.saturating_sub(1) as usize;
        made.take(further).map(|(number, _): (usize, _)| format!("authority-{number}/keys/authority.key")).collect()
    }

    /// Tells whether a log can begin so.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        let Self { founders: Founders(keys), needed, .. } = self;
        let count = keys.len();
        if count == 0 || count > AUTHORITIES_MAX {
            return Err(format!("--authorities: a log has 1 to {AUTHORITIES_MAX} authorities"));
        }
        if *needed == 0 || *needed as usize > count {
            return Err(format!(
                "--rule {needed}: of {count} authorities (--authorities) at least 1 signs, and at most {count} do"
            ));
        }
        let mut known: Vec<_> = keys.iter().flatten().map(|key| *key.as_bytes()).collect();
        known.sort_unstable();
        match known.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(twice) => {
                let key = hex::encode(twice[0]);
                Err(format!("--authorities: two files hold the key {key}: each authority has a key of its own"))
            }
        }
    }

    /// Tells whether one authority's key is enough for everything.
    pub fn is_one_enough(&self) -> bool {
        self.needed <= 1
    }

    /// The rule that the log begins with: it guards all that can be guarded.
    pub(super) fn rule(&self, authorities: &[PublicKey]) -> Option<Rule> {
        let authorities = authorities.iter().map(AuthorId::of_first_key).collect();
        let rule = Rule { needed: self.needed, authorities, acts: GuardedActs::EVERYTHING };
        (!self.is_one_enough()).then_some(rule)
    }
}

/// The folder of an authority of a deployment, from 1: the first one's is that of the deployment.
pub fn folder(dir: &Path, number: usize) -> PathBuf {
    match number {
        1 => dir.to_owned(),
        number => dir.join(format!("authority-{number}")),
    }
}

/// Makes a key where none was given, and the certificate. `number` is from 1.
pub(super) fn party(
    dir: &Path,
    ca: &Ca,
    (number, name): (usize, &str),
    given: Option<&PublicKey>,
) -> Result<PartyTerms, InitError> {
    let own = folder(dir, number);
    let name = if number == 1 { name.to_owned() } else { format!("{name} {number}") };
    let key = match given {
        Some(key) => *key,
        None => {
            let key = SigningKey::generate()?;
            files::seed(&own.join("keys/authority.key"), &key)?;
            key.public_key()
        }
    };
    let certificate = ca.caller(&name)?;
    files::public(&own.join("tls/authority.pem"), &certificate.cert_pem)?;
    files::secret(&own.join("tls/authority.key"), certificate.key_pem.as_bytes())?;
    let spki_sha256 = certificate.spki_sha256;
    Ok(PartyTerms { name, key, roles: authority_roles(), spki_sha256, vouching: Vouching::default() })
}

/// Writes what a further authority needs beside its key and certificate. `of_first` is the first authority's profile.
pub(super) fn write(
    dir: &Path,
    number: usize,
    of_first: &Profile,
    (ca_pem, genesis, policy): (&str, &[u8], &str),
) -> Result<(), InitError> {
    let own = folder(dir, number);
    files::folder(&own.join("keys"))?;
    files::public(&own.join("tls/ca.pem"), ca_pem)?;
    files::public(&own.join("genesis.bin"), genesis)?;
    files::public(&own.join("policy.txt"), policy)?;
    // Certificates are issued where the CA's key is.
    let profile = Profile { ca_key: None, test_issuer: None, cosign_keys: Vec::new(), ..of_first.clone() };
    files::public(&own.join("authority.toml"), profile.to_toml())?;
    Ok(())
}
