//! The text files that callers and verifiers take with them: profile, policy, verifier key.

use serde::{Deserialize, Serialize};

/// `sillage.toml` of the command line. Paths are relative to the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The log's name.
    pub origin: String,
    /// `https://host:port` of every node's client port.
    pub endpoints: Vec<String>,
    /// The DNS name that every node's certificate carries.
    pub server_name: String,
    /// The authority's certificate.
    pub ca: String,
    /// The caller's certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The log's verifier key.
    pub log_vkey: String,
    /// VRF public key, hex.
    pub vrf_public_key: String,
    /// The genesis entry's body.
    pub genesis: String,
    /// Seed that signs batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_key: Option<String>,
    /// Label of the author's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Seed that signs acts of the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key: Option<String>,
    /// The certificate authority's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_key: Option<String>,
    /// `http://host:port` of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

impl Profile {
    /// The text of the file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("invariant: every field of a profile has a TOML form")
    }
}

/// A trust policy (c2sp.org/tlog-policy) of one log without witnesses: the log's own signature is enough.
pub fn policy(log_vkey: &str) -> String {
    format!("log {log_vkey}\nquorum none\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_survives_its_file() {
        let profile = Profile {
            origin: "sillage.dev/test".to_owned(),
            endpoints: vec!["https://127.0.0.1:7400".to_owned()],
            server_name: "sillage-node".to_owned(),
            ca: "tls/ca.pem".to_owned(),
            cert: "tls/profile.pem".to_owned(),
            key: "tls/profile.key".to_owned(),
            log_vkey: "sillage.dev/test+00000000+AA==".to_owned(),
            vrf_public_key: "00".repeat(32),
            genesis: "genesis.bin".to_owned(),
            author_key: Some("keys/profile.key".to_owned()),
            stream: Some("cli".to_owned()),
            authority_key: None,
            ca_key: None,
            gateway: None,
        };
        let text = profile.to_toml();
        assert_eq!(toml::from_str::<Profile>(&text).unwrap(), profile);
        assert!(!text.contains("authority_key"));
    }

    #[test]
    fn a_policy_without_witnesses_is_one_log_and_no_quorum() {
        let text = policy("a.example/log+00000000+AA==");
        assert_eq!(text, "log a.example/log+00000000+AA==\nquorum none\n");
    }
}
