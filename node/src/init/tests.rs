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

#[test]
fn further_authorities_have_folders_of_their_own_and_the_genesis_says_how_many_sign() {
    let temp = tempfile::tempdir().unwrap();
    create(&Plan { authorities: AuthoritiesPlan::made(3, 2), ..plan(temp.path()) }).unwrap();
    let bytes = std::fs::read(temp.path().join("genesis.bin")).unwrap();
    let genesis = GenesisInfo::parse(&bytes).unwrap();
    let rule = genesis.rule.expect("a rule");
    assert_eq!((rule.needed, rule.authorities.len(), rule.acts.bits()), (2, 3, 511));
    let names: Vec<&str> = genesis.parties.iter().map(|party| party.name.as_str()).collect();
    assert_eq!(names, ["DNS", "DNS 2", "DNS 3", "profile"]);
    let mut seeds = std::collections::BTreeSet::new();
    for number in 1..=3 {
        let folder = authorities::folder(temp.path(), number);
        let profile: Profile =
            toml::from_str(&std::fs::read_to_string(folder.join("authority.toml")).unwrap()).unwrap();
        assert_eq!(profile.ca_key.is_some(), number == 1, "one place issues certificates");
        assert!(profile.cosign_keys.is_empty(), "each holds its own key alone");
        let key = profile.authority_key.expect("named");
        for file in [&profile.ca, &profile.cert, &profile.key, &profile.genesis, &key] {
            assert!(folder.join(file).exists(), "{file} of {number}");
        }
        let mode = std::fs::metadata(folder.join(&key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        seeds.insert(std::fs::read_to_string(folder.join(&key)).unwrap());
    }
    assert_eq!(seeds.len(), 3, "another key each");
    let again = Plan { authorities: AuthoritiesPlan::made(2, 2), ..plan(temp.path()) };
    assert!(matches!(create(&again), Err(InitError::Exists { .. })));
}

#[test]
fn an_authority_keeps_its_key_where_it_made_it() {
    let temp = tempfile::tempdir().unwrap();
    let public = |seed: u8| SigningKey::from_seed(&[seed; 32]).public_key();
    let file = |name: &str, seed: u8| {
        let path = temp.path().join(name);
        std::fs::write(&path, format!("{}\n", public(seed))).unwrap();
        path.display().to_string()
    };
    let (one, two, again) = (file("one.pub", 1), file("two.pub", 2), file("again.pub", 1));
    let founders: Founders = format!("{one},{two}").parse().unwrap();
    let authorities = AuthoritiesPlan { founders, ..AuthoritiesPlan::made(2, 2) };
    let dir = temp.path().join("log");
    create(&Plan { authorities, ..plan(&dir) }).unwrap();
    let genesis = GenesisInfo::parse(&std::fs::read(dir.join("genesis.bin")).unwrap()).unwrap();
    assert_eq!([genesis.parties[0].key, genesis.parties[1].key], [public(1), public(2)]);
    assert!(!dir.join("keys/authority.key").exists() && !dir.join("authority-2/keys/authority.key").exists());
    let same: Founders = format!("{one},{again}").parse().unwrap();
    let same = AuthoritiesPlan { founders: same, ..AuthoritiesPlan::made(2, 2) }.check().unwrap_err();
    assert!(same.contains("two files hold the key"), "{same}");
    let missing = format!("{one},{}", temp.path().join("none").display()).parse::<Founders>().unwrap_err();
    assert!(missing.contains("can't read"), "{missing}");
    std::fs::write(temp.path().join("bad"), "no key").unwrap();
    let bad = temp.path().join("bad").display().to_string().parse::<Founders>().unwrap_err();
    assert!(bad.contains("holds no public key"), "{bad}");
}

#[test]
fn so_many_authorities_sign_as_there_are_and_no_more() {
    assert!("0".parse::<Founders>().unwrap_err().contains("at least one"));
    assert!("17".parse::<Founders>().unwrap_err().contains("at most 16"));
    for (count, needed) in [(2, 0), (2, 3), (1, 2)] {
        let why = AuthoritiesPlan::made(count, needed).check().unwrap_err();
        assert!(why.contains(&format!("--rule {needed}")), "{why}");
    }
    assert!(AuthoritiesPlan::made(0, 1).check().is_err());
    AuthoritiesPlan::made(3, 2).check().unwrap();
}
