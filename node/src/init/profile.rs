//! The text files that callers and verifiers take with them: profile, policy, verifier key.

use serde::{Deserialize, Serialize};
use sillage_rules::cosigner::{GROUP_NODES, GROUP_WITNESSES};
use sillage_rules::node_set::majority;

use crate::config::WitnessConfig;

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
    /// The authority's certificate, where `cert` is another party's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_cert: Option<String>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_cert_key: Option<String>,
    /// Seeds of further authorities, who sign at once what this one signs: in test logs alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosign_keys: Vec<String>,
    /// The certificate authority's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_key: Option<String>,
    /// `http://host:port` of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Base address of a connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir: Option<String>,
    /// Its bearer token for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_token: Option<String>,
    /// `http://host:port` of the portal's pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Seed of the issuer of logins of a test log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_issuer: Option<String>,
}

impl Profile {
    /// The text of the file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("invariant: every field of a profile has a TOML form")
    }
}

/// A trust policy (c2sp.org/tlog-policy): the log's key, a majority of its nodes, and who else cosigns. `nodes` are
/// (id, verifier key) of each node.
pub fn policy(log_vkey: &str, nodes: &[(u64, String)], witnesses: &[WitnessConfig]) -> String {
    let mut text = format!("log {log_vkey}\n");
    for (id, vkey) in nodes {
        text.push_str(&format!("witness node-{id} {vkey}\n"));
    }
    let majority = majority(nodes.len());
    let names: Vec<String> = nodes.iter().map(|(id, _)| format!("node-{id}")).collect();
    text.push_str(&format!("group {GROUP_NODES} {majority} {}\n", names.join(" ")));
    text.push_str(&format!("quorum {GROUP_NODES}\n"));
    with_witnesses(&text, witnesses)
}

/// A policy with other witnesses than it had; its other lines stay as they are.
pub fn with_witnesses(policy: &str, witnesses: &[WitnessConfig]) -> String {
    let group = format!("group {GROUP_WITNESSES} ");
    let is_old = |line: &str| line.starts_with("witness witness-") || line.starts_with(&group);
    let (mut before, mut quorum) = (String::new(), String::new());
    for line in policy.lines().filter(|line| !is_old(line)) {
        let part = if line.starts_with("quorum ") { &mut quorum } else { &mut before };
        part.push_str(line);
        part.push('\n');
    }
    for (witness, n) in witnesses.iter().zip(1..) {
        before.push_str(&format!("witness witness-{n} {} {}\n", witness.vkey, witness.url));
    }
    if !witnesses.is_empty() {
        let names: Vec<String> = (1..=witnesses.len()).map(|n| format!("witness-{n}")).collect();
        before.push_str(&format!("{group}any {}\n", names.join(" ")));
    }
    before + &quorum
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, VerifierKey};
    use sillage_proof::policy::Policy;

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
            authority_cert: None,
            authority_cert_key: None,
            cosign_keys: Vec::new(),
            ca_key: None,
            gateway: None,
            fhir: None,
            fhir_token: None,
            portal: None,
            test_issuer: None,
        };
        let text = profile.to_toml();
        assert_eq!(toml::from_str::<Profile>(&text).unwrap(), profile);
        assert!(!text.contains("authority_key"));
    }

    fn vkey(name: &str, kind: KeyKind, seed: u8) -> String {
        let key = SigningKey::from_seed(&[seed; 32]).public_key();
        VerifierKey::new(name, kind, key).expect("a name").to_string()
    }

    #[test]
    fn a_policy_is_the_log_a_majority_of_nodes_and_whoever_else_cosigns() {
        let log = vkey("a.example/log", KeyKind::Ed25519, 1);
        let node = |id| (id, vkey(&format!("a.example/log/node-{id}"), KeyKind::CosignatureV1, id as u8 + 1));
        let nodes = [node(1), node(2), node(3)];
        let text = policy(&log, &nodes, &[]);
        assert!(text.contains("group nodes 2 node-1 node-2 node-3\nquorum nodes\n"), "{text}");
        let parsed = Policy::parse(text.as_bytes()).expect("a policy");
        assert_eq!((parsed.logs().len(), parsed.witnesses().len()), (1, 3));
        let witness = |n: u8| WitnessConfig {
            url: format!("http://127.0.0.1:{n}"),
            vkey: vkey("w.example", KeyKind::CosignatureV1, n),
        };
        let two = with_witnesses(&text, &[witness(8), witness(9)]);
        assert!(two.ends_with("group witnesses any witness-1 witness-2\nquorum nodes\n"), "{two}");
        assert_eq!(Policy::parse(two.as_bytes()).expect("a policy").witnesses().len(), 5);
        let other = with_witnesses(&two, &[witness(7)]);
        assert_eq!(Policy::parse(other.as_bytes()).expect("a policy").witnesses().len(), 4);
        assert_eq!(with_witnesses(&other, &[]), text);
    }
}
