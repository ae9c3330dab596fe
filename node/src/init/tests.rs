use std::os::unix::fs::PermissionsExt;

use sillage_ledger::GenesisInfo;
use sillage_proof::policy::Policy;

use super::authorities::Founders;
use super::*;
use crate::secrets::{Secrets, SecretsError};

fn plan(dir: &Path) -> Plan {
    Plan {
        dir: dir.to_owned(),
        terms: LogTerms::test("log.example/one"),
        nodes: vec!["1=127.0.0.1:7400:7401".parse().unwrap(), "2=two.example:7400:7401".parse().unwrap()],
        listen: None,
        authority: "DNS".to_owned(),
        authorities: AuthoritiesPlan::made(1, 1),
        valid_years: 10,
        with_profile: true,
        limits: LimitsConfig::default(),
        gateway: None,
        witnesses: Vec::new(),
    }
}

#[test]
fn every_node_finds_its_secrets_and_the_genesis_names_them() {
    let temp = tempfile::tempdir().unwrap();
    create(&plan(temp.path())).unwrap();
    let bytes = std::fs::read(temp.path().join("genesis.bin")).unwrap();
    let genesis = GenesisInfo::parse(&bytes).unwrap();
    assert_eq!(genesis.origin.as_str(), "log.example/one");
    assert!(genesis.test_log && genesis.covers(&[0; 32]) && genesis.covers(&[0xff; 32]));
    let roles: Vec<u32> = genesis.parties.iter().map(|party| party.roles.bits()).collect();
    let services = 128 | 256 | 512 | 1_024 | 2_048 | 4_096;
    assert_eq!(roles, [64 | 32 | 2, services | 2 | 4 | 16 | 32]);
    assert_eq!(
        genesis.feature_level,
        sillage_ledger::FEATURE_LEVEL,
        "a new log has today's rules from the first entry on"
    );
    assert!(genesis.parties[1].vouching.has_any() && genesis.parties[0].vouching.is_empty());
    for id in [1, 2] {
        let config = NodeConfig::load(&node_dir(temp.path(), id).join("node.toml")).unwrap();
        assert_eq!(std::fs::read(&config.genesis).unwrap(), bytes);
        let secrets = Secrets::load(&config, &genesis).unwrap();
        assert!(!secrets.log_keys.is_empty() && secrets.vrf_key.is_some());
    }
    let two = NodeConfig::load(&node_dir(temp.path(), 2).join("node.toml")).unwrap();
    assert_eq!(two.listen_client, "0.0.0.0:7400");
    assert_eq!(two.peers[1].address, "two.example:7401");
}

#[test]
fn secrets_are_for_their_owner_and_of_the_right_node() {
    let temp = tempfile::tempdir().unwrap();
    create(&plan(temp.path())).unwrap();
    let bytes = std::fs::read(temp.path().join("genesis.bin")).unwrap();
    let genesis = GenesisInfo::parse(&bytes).unwrap();
    let one = node_dir(temp.path(), 1);
    for secret in ["tls/node.key", "keys/node.key", "keys/log.key", "keys/vrf.key", "keys/keyring"] {
        let mode = std::fs::metadata(one.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let mut config = NodeConfig::load(&one.join("node.toml")).unwrap();
    config.id = 2;
    let error = Secrets::load(&config, &genesis).err().unwrap();
    assert!(matches!(error, SecretsError::Other { .. }), "{error}");
    config.id = 7;
    let error = Secrets::load(&config, &genesis).err().unwrap();
    assert!(matches!(error, SecretsError::NoSuchNode(7)), "{error}");
    config.id = 1;
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&config.node_key, open).unwrap();
    let error = Secrets::load(&config, &genesis).err().unwrap();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn nothing_is_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    create(&plan(temp.path())).unwrap();
    let error = create(&plan(temp.path())).unwrap_err();
    assert!(matches!(error, InitError::Exists { .. }), "{error}");
}

#[test]
fn what_can_not_be_is_said_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let mut twice = plan(temp.path());
    twice.nodes[1].id = 1;
    let mut spaced = plan(temp.path());
    spaced.terms.origin = "a log".to_owned();
    let mut plus = plan(temp.path());
    plus.terms.origin = "a+log".to_owned();
    let mut shared = plan(temp.path());
    shared.nodes[1].host = "127.0.0.1".to_owned();
    let mut none = plan(temp.path());
    none.nodes.clear();
    for bad in [twice, spaced, plus, shared, none] {
        let error = create(&bad).unwrap_err();
        assert!(matches!(error, InitError::Invalid(_)), "{error}");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

#[test]
fn profiles_and_policy_say_what_the_genesis_says() {
    let temp = tempfile::tempdir().unwrap();
    create(&plan(temp.path())).unwrap();
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
    let profile: Profile = toml::from_str(&read(PROFILE_FILE)).unwrap();
    let endpoints = ["https://127.0.0.1:7400", "https://two.example:7400"];
    assert_eq!(profile.endpoints, endpoints);
    assert_eq!(read("log.vkey"), format!("{}\n", profile.log_vkey));
    for file in [&profile.ca, &profile.cert, &profile.key, &profile.genesis] {
        assert!(temp.path().join(file).exists(), "{file}");
    }
    let policy = Policy::parse(read("policy.txt").as_bytes()).unwrap();
    let logs: Vec<String> = policy.logs().iter().map(|log| log.key.to_string()).collect();
    assert_eq!(logs, [profile.log_vkey]);
}

#[test]
fn a_gateway_has_a_party_a_folder_and_its_place_in_the_profiles() {
    let temp = tempfile::tempdir().unwrap();
    let with = Plan { gateway: Some("127.0.0.1:7480:7481".parse().unwrap()), ..plan(temp.path()) };
    create(&with).unwrap();
    let bytes = std::fs::read(temp.path().join("genesis.bin")).unwrap();
    let genesis = GenesisInfo::parse(&bytes).unwrap();
    let party = genesis.parties.iter().find(|party| party.name == "gateway").expect("registered");
    assert_eq!(party.roles.bits(), 16);
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
    let profile: Profile = toml::from_str(&read(PROFILE_FILE)).unwrap();
    assert_eq!(profile.gateway.as_deref(), Some("http://127.0.0.1:7480"));
    let own: Profile = toml::from_str(&read("gateway/profile.toml")).unwrap();
    assert_eq!((own.author_key, own.authority_key, own.ca_key, own.gateway), (None, None, None, None));
    let config: toml::Table = toml::from_str(&read("gateway/gateway.toml")).unwrap();
    assert_eq!(config["listen"].as_str(), Some("127.0.0.1:7480"));
    for file in [own.ca, own.cert, own.key, own.genesis] {
        assert!(temp.path().join("gateway").join(&file).exists(), "{file}");
    }
    let taken = Plan { gateway: Some("127.0.0.1:7400:7481".parse().unwrap()), ..plan(&temp.path().join("other")) };
    assert!(matches!(create(&taken), Err(InitError::Invalid(_))));
}
