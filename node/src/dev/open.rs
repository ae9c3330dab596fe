//! The files of a test log: made, or found as they were. Nothing that is there is changed before everything is checked: that
//! no process runs on this folder, that all files can be read, that the ports are free.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sillage_ledger::GenesisInfo;
use sillage_rules::roles::Roles;

use super::edits::Edits;
use super::gateway::{self, Gateway};
use super::{DevError, Node, Options, Parts, system};
use super::{connector, portal};
use crate::config::{LimitsConfig, NodeConfig, WitnessConfig};
use crate::init::authorities::AuthoritiesPlan;
use crate::init::gateway::GatewayPlan;
use crate::init::genesis::LogTerms;
use crate::init::profile;
use crate::init::{self, NodePlan, PROFILE_FILE, Plan, node_dir};
use crate::place::{self, Place, PlaceError, Said};
use crate::{folder_lock, pid};

const HOST: &str = "127.0.0.1";
const BASE_PORT: u16 = 7400;
const POLICY_FILE: &str = "policy.txt";

/// Where a log is made; nothing is moved out of it before its profile, the last file, is there.
const MAKING: &str = ".making";

/// Makes or reopens the log, and sees to it that its ports are free. The file keeps other `dev` off this folder.
pub(super) fn open(options: &Options) -> Result<(Parts, File), DevError> {
    let dir = std::path::absolute(&options.dir).map_err(system("--dir"))?;
    let is_there = dir.join(PROFILE_FILE).exists();
    if !is_there {
        std::fs::create_dir_all(&dir).map_err(system(dir.display().to_string()))?;
    }
    let lock = folder_lock::hold(&dir).map_err(system(dir.display().to_string()))?;
    let lock = lock.ok_or_else(|| DevError::Kept { dir: dir.clone() })?;
    if !is_there {
        create(&dir, options)?;
    }
    let mut edits = Edits::default();
    if is_there {
        reopen(&dir, options, &mut edits)?;
    }
    let founders = genesis(&dir)?.nodes.len() as u64;
    let gateway = gateway::open(&dir, options.gateway, &mut edits)?;
    let nodes = nodes(&dir, &edits)?;
    let moved = options.base_port.is_some() && is_there;
    let port = || port_after(founders, &nodes, 2);
    let connector = connector::open(&dir, options.connector, port, moved, &mut edits)?;
    let port = || port_after(founders, &nodes, 3);
    let portal = portal::open(&dir, options.portal, port, moved, &mut edits)?;
    let parts = Parts { nodes, gateway, connector, portal, founders };
    for node in &parts.nodes {
        check_node_free(&dir, node)?;
        if is_there {
            check_place(&dir, node, options.said, &mut edits)?;
        }
    }
    if let Some(gateway) = &parts.gateway {
        let Gateway { address, tls_address, .. } = gateway;
        check_free("the gateway", [(address, "HTTP port"), (tls_address, "port for auditors")])?;
        gateway.process()?;
    }
    if let Some(connector) = &parts.connector {
        check_port_free("the connector", &connector.address, "HTTP port")?;
        connector.process()?;
    }
    if let Some(portal) = &parts.portal {
        check_port_free("the portal", &portal.pages, "HTTP port")?;
        check_free("the portal's login", [(&portal.login[0], "HTTP port"), (&portal.login[1], "back channel")])?;
        portal.processes()?;
    }
    edits.write()?;
    Ok((parts, lock))
}

/// The ports of the nodes, then those of the gateway.
fn plans(count: u64, base_port: u16) -> Result<(Vec<NodePlan>, GatewayPlan), DevError> {
    let port = |offset: u64| u16::try_from(u64::from(base_port) + offset).ok();
    let plan = |i: u64| {
        Some(NodePlan {
            id: i + 1,
            host: HOST.to_owned(),
            client_port: port(2 * i).filter(|port| *port > 0)?,
            peer_port: port(2 * i + 1)?,
        })
    };
    let gateway = || {
        let (http, tls) = (port(2 * count)?, port(2 * count + 1)?);
        Some(GatewayPlan { host: HOST.to_owned(), port: http, tls_port: tls, in_profiles: false })
    };
    let nodes: Option<Vec<NodePlan>> = (0..count).map(plan).collect();
    nodes.zip(gateway()).ok_or_else(|| {
        DevError::Mismatch(format!(
            "--base-port {base_port} leaves no room for {count} nodes and a gateway: choose one from 1 to {}",
            65_536 - 2 * (count + 1)
        ))
    })
}

/// The port so many after those of the nodes: the gateway has the first two, the connector the next one, the portal three more.
fn port_after(founders: u64, nodes: &[Node], offset: u64) -> Result<u16, DevError> {
    let first = nodes.iter().min_by_key(|node| node.id);
    let port = first.and_then(|node| {
        node.client_address.rsplit_once(':')?.1.parse::<u64>().ok()?.checked_add(2 * founders + offset)
    });
    port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
        let why = "the nodes' ports leave no room for a connector or a portal: choose smaller ones with --base-port N";
        DevError::Mismatch(why.to_owned())
    })
}

/// Makes the log in a folder of its own, then moves it into place, the profile last: whoever is interrupted is followed
/// by one who begins anew or goes on moving.
fn create(dir: &Path, options: &Options) -> Result<(), DevError> {
    let making = dir.join(MAKING);
    if !making.join(PROFILE_FILE).exists() {
        if making.exists() {
            std::fs::remove_dir_all(&making).map_err(system(making.display().to_string()))?;
        }
        make(dir, &making, options)?;
    }
    move_into_place(&making, dir).map_err(system(dir.display().to_string()))
}

fn move_into_place(making: &Path, dir: &Path) -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(making)? {
        names.push(entry?.file_name());
    }
    names.sort_by_key(|name| name == PROFILE_FILE);
    for name in names {
        std::fs::rename(making.join(&name), dir.join(&name))?;
    }
    std::fs::remove_dir(making)
}

/// Makes the files in `making` that are to be in `dir`.
fn make(dir: &Path, making: &Path, options: &Options) -> Result<(), DevError> {
    let origin = match &options.origin {
        Some(origin) => origin.clone(),
        None => default_origin(dir),
    };
    let count = u64::from(options.nodes.unwrap_or(1));
    let (nodes, gateway) = plans(count, options.base_port.unwrap_or(BASE_PORT))?;
    let plan = Plan {
        dir: making.to_owned(),
        terms: LogTerms { test_issuer: true, ..LogTerms::test(&origin) },
        nodes,
        listen: None,
        authority: "authority".to_owned(),
        authorities: authorities(options),
        valid_years: 10,
        with_profile: true,
        // A test log's callers are one's own programs, and resolve a whole population in one go.
        limits: LimitsConfig { resolve_per_s: 200_000, opened_per_s: 2_000_000, ..LimitsConfig::default() },
        // Its party is there from the start, whether it runs or not.
        gateway: Some(gateway),
        witnesses: options.witnesses.clone(),
    };
    init::check(&Plan { dir: dir.to_owned(), ..plan.clone() })?;
    init::create(&plan)?;
    let keys = plan.authorities.founders.0.len();
    match plan.authorities.needed {
        1 => eprintln!("sillage-node dev: one authority's key alone does everything in this test log"),
        needed => eprintln!(
            "sillage-node dev: {needed} authorities sign what touches many in this test log, and it holds the keys of all {keys}"
        ),
    }
    Ok(())
}

/// A test log has one authority, so that it runs without a hand; of several, two sign.
fn authorities(options: &Options) -> AuthoritiesPlan {
    let count = options.authorities.unwrap_or(1);
    AuthoritiesPlan { in_one_hand: true, ..AuthoritiesPlan::made(count, if count == 1 { 1 } else { 2 }) }
}

/// `sillage.dev/<folder>-<time>`: readable, and no two logs alike.
fn default_origin(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs();
    match name.is_empty() {
        true => format!("sillage.dev/{seconds:x}"),
        false => format!("sillage.dev/{name}-{seconds:x}"),
    }
}

/// The changes of the files that these options need.
fn reopen(dir: &Path, options: &Options, edits: &mut Edits) -> Result<(), DevError> {
    let genesis = genesis(dir)?;
    let (here, origin) = (ids(dir)?, genesis.origin.as_str());
    let counts = [genesis.nodes.len() as u64, here.len() as u64];
    if let Some(wanted) = options.nodes.map(u64::from).filter(|n| !counts.contains(n)) {
        return Err(DevError::Mismatch(format!(
            "{} is a log of {} nodes, not {wanted}: leave out --nodes, or choose another --dir",
            dir.display(),
            counts[1]
        )));
    }
    let authorities = genesis.parties.iter().filter(|party| party.roles.contains(Roles::AUTHORITY)).count();
    if let Some(wanted) = options.authorities.filter(|wanted| *wanted != authorities) {
        return Err(DevError::Mismatch(format!(
            "{} began with {authorities} authorities, not {wanted}: leave out --authorities, or choose another --dir",
            dir.display()
        )));
    }
    if let Some(wanted) = options.origin.as_ref().filter(|wanted| *wanted != origin) {
        return Err(DevError::Mismatch(format!(
            "{} is the log {origin}, not {wanted}: leave out --origin, or choose another --dir",
            dir.display()
        )));
    }
    if !options.witnesses.is_empty() {
        name_witnesses(dir, &here, &options.witnesses, edits)?;
    }
    match options.base_port {
        Some(base_port) => {
            if let Some(joined) = here.iter().find(|id| genesis.node(**id).is_none()) {
                return Err(DevError::Mismatch(format!(
                    "node {joined} joined this log later, and its ports stand in the log: leave out --base-port"
                )));
            }
            let (nodes, gateway) = plans(genesis.nodes.len() as u64, base_port)?;
            let nodes: Vec<NodePlan> = nodes.into_iter().filter(|plan| here.contains(&plan.id)).collect();
            move_ports(dir, &nodes, &gateway, edits)
        }
        None => Ok(()),
    }
}

/// Names other witnesses in the nodes' configurations and the policy.
fn name_witnesses(dir: &Path, nodes: &[u64], witnesses: &[WitnessConfig], edits: &mut Edits) -> Result<(), DevError> {
    for id in nodes {
        let (path, mut config) = config_of(dir, *id, edits)?;
        config.witnesses = witnesses.to_vec();
        edits.put(&path, config.to_toml());
    }
    edits.edit(&dir.join(POLICY_FILE), |policy| Ok(profile::with_witnesses(policy, witnesses)))
}

fn genesis(dir: &Path) -> Result<GenesisInfo, DevError> {
    let path = dir.join("genesis.bin");
    let what = path.display().to_string();
    let bytes = std::fs::read(&path).map_err(system(what.clone()))?;
    GenesisInfo::parse(&bytes).map_err(|error| DevError::System { what, message: error.to_string() })
}

fn config_of(dir: &Path, id: u64, edits: &Edits) -> Result<(PathBuf, NodeConfig), DevError> {
    let path = node_dir(dir, id).join("node.toml");
    let config = NodeConfig::parse(&path, &edits.text(&path)?)
        .map_err(|error| DevError::System { what: format!("node {id}"), message: error.to_string() })?;
    Ok((path, config))
}

/// Writes other ports into the nodes' configurations and the profiles.
fn move_ports(dir: &Path, plans: &[NodePlan], gateway: &GatewayPlan, edits: &mut Edits) -> Result<(), DevError> {
    for plan in plans {
        let (path, mut config) = config_of(dir, plan.id, edits)?;
        config.listen_client = plan.client_address();
        config.listen_peer = plan.peer_address();
        for peer in &mut config.peers {
            if let Some(plan) = plans.iter().find(|plan| plan.id == peer.id) {
                peer.address = plan.peer_address();
                peer.client_address = plan.client_address();
            }
        }
        edits.put(&path, config.to_toml());
    }
    let endpoints: Vec<String> = plans.iter().map(|plan| format!("https://{}", plan.client_address())).collect();
    for name in gateway::PROFILES {
        edits.edit_profile(&dir.join(name), |profile| profile.endpoints = endpoints.clone())?;
    }
    gateway::move_ports(dir, gateway, &endpoints, edits)
}

/// The nodes whose folders are here, with their ports as their configurations say: those that joined later too. Which of
/// them the log still has, it says itself once it runs.
fn nodes(dir: &Path, edits: &Edits) -> Result<Vec<Node>, DevError> {
    let node = |id: u64| {
        let (_, config) = config_of(dir, id, edits)?;
        Ok(Node { id, dir: node_dir(dir, id), client_address: config.listen_client, peer_address: config.listen_peer })
    };
    ids(dir)?.into_iter().map(node).collect()
}

/// The ids of the nodes whose folders are here, ascending.
fn ids(dir: &Path) -> Result<Vec<u64>, DevError> {
    let read = || -> std::io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix("node-")).and_then(|id| id.parse::<u64>().ok());
            if let Some(id) = id.filter(|id| node_dir(dir, *id).join("node.toml").exists()) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    };
    let ids = read().map_err(system(dir.display().to_string()))?;
    match ids.is_empty() {
        true => Err(DevError::Mismatch(format!("{} holds no folder of a node (node-1/node.toml)", dir.display()))),
        false => Ok(ids),
    }
}

/// A copy of the folder isn't started at other ports by accident. The very folder that ran before may have other ports.
fn check_place(dir: &Path, node: &Node, said: Said, edits: &mut Edits) -> Result<(), DevError> {
    let (path, mut config) = config_of(dir, node.id, edits)?;
    config.resolve(path.parent().unwrap_or(dir));
    let wrong = |error: PlaceError| DevError::Place { node: node.id, source: Box::new(error) };
    let Some(was) = Place::noted(&config.keyring).map_err(wrong)?.filter(|_| !said.isolated) else {
        return Ok(());
    };
    let is = Place::here(&config).map_err(wrong)?;
    if !said.moved && !is.is_same(&was) && !is.is_same_folder(&was) {
        return Err(wrong(place::elsewhere(was, is)));
    }
    if is != was {
        edits.put(&place::file(&config.keyring), is.to_text());
    }
    Ok(())
}

fn check_node_free(dir: &Path, node: &Node) -> Result<(), DevError> {
    let running = pid::read(&node.pid()).filter(|pid| pid::serves(*pid, &node.config()));
    if let Some(pid) = running {
        return Err(DevError::Running { node: node.id, dir: dir.to_owned(), pid });
    }
    let data = node.dir.join("data");
    if data.exists() && folder_lock::hold(&data).map_err(system(data.display().to_string()))?.is_none() {
        return Err(DevError::Held { node: node.id, data });
    }
    let ports = [(&node.client_address, "client port"), (&node.peer_address, "peer port")];
    check_free(&format!("node {}", node.id), ports)
}

fn check_free(name: &str, ports: [(&String, &'static str); 2]) -> Result<(), DevError> {
    ports.into_iter().try_for_each(|(address, what)| check_port_free(name, address, what))
}

fn check_port_free(name: &str, address: &str, what: &'static str) -> Result<(), DevError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            Err(DevError::Port { port: port.unwrap_or(0), what, name: name.to_owned(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> Options {
        Options {
            dir: dir.to_owned(),
            nodes: Some(3),
            base_port: Some(17_400),
            origin: None,
            authorities: None,
            restart: false,
            gateway: false,
            connector: false,
            portal: false,
            witnesses: Vec::new(),
            said: Said::default(),
            wait: std::time::Duration::from_secs(1),
        }
    }

    fn reopened(dir: &Path, options: &Options) -> Result<(), DevError> {
        let mut edits = Edits::default();
        reopen(dir, options, &mut edits)?;
        edits.write()
    }

    fn opened_gateway(dir: &Path, asked: bool) -> Result<Option<Gateway>, DevError> {
        let mut edits = Edits::default();
        let gateway = gateway::open(dir, asked, &mut edits)?;
        edits.write().map(|()| gateway)
    }

    /// Every file of a folder with its content.
    fn contents(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
        let mut out = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => out.extend(contents(&path)),
                false => drop(out.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
        out
    }

    #[test]
    fn what_is_refused_changes_no_file() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        create(&dir, &options(&dir)).unwrap();
        let before = contents(&dir);
        let moved = Options { base_port: Some(18_000), nodes: None, ..options(&dir) };
        let refused = |what: &str, options: &Options| {
            let error = open(options).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert_eq!(contents(&dir), before, "{what}");
        };
        // A node of it runs, under another configuration and other ports.
        let held = folder_lock::hold(&dir.join("node-2/data")).unwrap().expect("free");
        refused("node-2/data", &moved);
        drop(held);
        // Another `dev` has it.
        let held = folder_lock::hold(&dir).unwrap().expect("free");
        refused("stop it first", &moved);
        drop(held);
        // One of the ports is taken, the last of all.
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        refused(&format!("port {port}"), &Options { base_port: Some(port - 5), ..moved.clone() });
        // Another number of nodes, another name, witnesses together with either.
        refused("3 nodes, not 1", &Options { nodes: Some(1), ..moved.clone() });
        refused("--origin", &Options { origin: Some("other.example".to_owned()), ..moved.clone() });
        // One file of several can't be read: none of the others is changed.
        let broken = dir.join("authority.toml");
        std::fs::write(&broken, "endpoints = 7\n").unwrap();
        let before_all = contents(&dir);
        open(&moved).map(|_| ()).unwrap_err();
        assert_eq!(contents(&dir), before_all);
    }

    #[test]
    fn a_copy_isnt_started_at_other_ports_by_accident() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, copy) = (temp.path().join("log"), temp.path().join("copy"));
        create(&dir, &options(&dir)).unwrap();
        for id in 1..=3 {
            let (path, mut config) = config_of(&dir, id, &Edits::default()).unwrap();
            config.resolve(path.parent().unwrap());
            place::check_and_note(&config, Said::default()).unwrap();
        }
        for (path, bytes) in contents(&dir) {
            let to = copy.join(path.strip_prefix(&dir).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
        let before = contents(&copy);
        let moved = |dir: &Path, said| Options { nodes: None, base_port: Some(18_100), said, ..options(dir) };
        let refused = open(&moved(&copy, Said::default())).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("--moved") && refused.contains("--isolated"), "{refused}");
        assert_eq!(contents(&copy), before, "nothing was written");
        open(&moved(&copy, Said { isolated: true, moved: false })).unwrap();
        open(&moved(&copy, Said::default())).map(|_| ()).unwrap_err();
        open(&moved(&copy, Said { isolated: false, moved: true })).unwrap();
        open(&moved(&copy, Said::default())).unwrap();
        // The folder itself may have other ports, and another name.
        open(&moved(&dir, Said::default())).unwrap();
        let renamed = temp.path().join("renamed");
        std::fs::rename(&dir, &renamed).unwrap();
        open(&Options { base_port: Some(18_200), ..moved(&renamed, Said::default()) }).unwrap();
    }

    #[test]
    fn a_log_is_made_once_and_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("My Log");
        create(&dir, &options(&dir)).unwrap();
        let made = nodes(&dir, &Edits::default()).unwrap();
        assert_eq!(made.len(), 3);
        assert_eq!(made[2].client_address, "127.0.0.1:17404");
        assert_eq!(made[2].peer_address, "127.0.0.1:17405");
        assert_eq!(made[2].dir, dir.join("node-3"));
        let origin = genesis(&dir).unwrap().origin.as_str().to_owned();
        assert!(origin.starts_with("sillage.dev/mylog-"), "{origin}");

        let unchanged = Options { nodes: None, base_port: None, ..options(&dir) };
        reopened(&dir, &unchanged).unwrap();
        assert_eq!(nodes(&dir, &Edits::default()).unwrap(), made);
    }

    #[test]
    fn a_making_that_was_cut_short_is_begun_anew_or_finished() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        let making = dir.join(MAKING);
        make(&dir, &making, &options(&dir)).unwrap();
        // Cut short while files are made: nothing had been moved.
        std::fs::remove_file(making.join(PROFILE_FILE)).unwrap();
        let first = std::fs::read(making.join("genesis.bin")).unwrap();
        create(&dir, &options(&dir)).unwrap();
        let second = std::fs::read(dir.join("genesis.bin")).unwrap();
        assert_ne!(first, second);
        assert!(!making.exists());
        // Cut short while they are moved.
        std::fs::create_dir(&making).unwrap();
        for name in ["node-2", "keys", PROFILE_FILE] {
            std::fs::rename(dir.join(name), making.join(name)).unwrap();
        }
        create(&dir, &options(&dir)).unwrap();
        assert!(!making.exists());
        assert_eq!(std::fs::read(dir.join("genesis.bin")).unwrap(), second);
        assert_eq!(nodes(&dir, &Edits::default()).unwrap().len(), 3);
        // What someone else keeps there is not touched.
        let other = temp.path().join("other");
        std::fs::create_dir_all(other.join("keys")).unwrap();
        let refused = create(&other, &options(&other)).unwrap_err().to_string();
        assert!(refused.contains("keys"), "{refused}");
    }

    #[test]
    fn other_ports_reach_every_file() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        create(&dir, &options(&dir)).unwrap();
        let moved = Options { base_port: Some(18_000), ..options(&dir) };
        reopened(&dir, &moved).unwrap();
        assert_eq!(nodes(&dir, &Edits::default()).unwrap()[0].client_address, "127.0.0.1:18000");
        for file in ["sillage.toml", "authority.toml", "node-2/node.toml"] {
            let text = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(text.contains(":18004") && !text.contains(":174"), "{text}");
        }
    }

    #[test]
    fn a_gateway_is_named_once_asked_for_and_moves_along() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        create(&dir, &options(&dir)).unwrap();
        assert_eq!(opened_gateway(&dir, false).unwrap(), None);
        let opened = opened_gateway(&dir, true).unwrap().expect("asked for");
        assert_eq!((opened.address.as_str(), opened.tls_address.as_str()), ("127.0.0.1:17406", "127.0.0.1:17407"));
        reopened(&dir, &Options { base_port: Some(18_000), ..options(&dir) }).unwrap();
        let kept = opened_gateway(&dir, false).unwrap().expect("the profile names it");
        assert_eq!(kept.address, "127.0.0.1:18006");
        for file in ["sillage.toml", "authority.toml"] {
            let text = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(text.contains("gateway = \"http://127.0.0.1:18006\""), "{text}");
        }
        let own = std::fs::read_to_string(dir.join("gateway/profile.toml")).unwrap();
        assert!(own.contains(":18004") && !own.contains(":174"), "{own}");
        std::fs::remove_dir_all(dir.join("gateway")).unwrap();
        let without = opened_gateway(&dir, true).unwrap_err().to_string();
        assert!(without.contains("without a gateway"), "{without}");
    }

    #[test]
    fn witnesses_reach_the_nodes_and_the_policy_and_stay_unless_others_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        let witness = |n: u8| {
            let key = sillage_proof::keys::SigningKey::from_seed(&[n; 32]).public_key();
            let kind = sillage_proof::note::KeyKind::CosignatureV1;
            let vkey = sillage_proof::note::VerifierKey::new("w.example", kind, key).unwrap().to_string();
            WitnessConfig { url: format!("http://127.0.0.1:{n}"), vkey }
        };
        create(&dir, &Options { witnesses: vec![witness(1)], ..options(&dir) }).unwrap();
        reopened(&dir, &options(&dir)).unwrap();
        assert_eq!(config_of(&dir, 3, &Edits::default()).unwrap().1.witnesses, [witness(1)]);
        let other = Options { witnesses: vec![witness(2), witness(3)], ..options(&dir) };
        reopened(&dir, &other).unwrap();
        assert_eq!(config_of(&dir, 1, &Edits::default()).unwrap().1.witnesses, other.witnesses);
        let policy = std::fs::read_to_string(dir.join(POLICY_FILE)).unwrap();
        assert!(policy.contains("witness-2") && !policy.contains(&witness(1).vkey), "{policy}");
    }

    #[test]
    fn the_folders_that_are_there_are_the_nodes_after_one_was_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        create(&dir, &options(&dir)).unwrap();
        std::fs::rename(dir.join("node-2"), dir.join("node-4")).unwrap();
        let config = dir.join("node-4/node.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replacen("id = 2", "id = 4", 1)).unwrap();
        std::fs::create_dir(dir.join("node-9")).unwrap();
        let unchanged = Options { base_port: None, ..options(&dir) };
        reopened(&dir, &unchanged).unwrap();
        assert_eq!(nodes(&dir, &Edits::default()).unwrap().iter().map(|node| node.id).collect::<Vec<_>>(), [1, 3, 4]);
        let moved = reopened(&dir, &options(&dir)).unwrap_err().to_string();
        assert!(moved.contains("node 4 joined") && moved.contains("--base-port"), "{moved}");
        for id in [1, 3, 4] {
            std::fs::remove_dir_all(dir.join(format!("node-{id}"))).unwrap();
        }
        assert!(reopened(&dir, &unchanged).unwrap_err().to_string().contains("no folder of a node"));
    }

    #[test]
    fn another_number_of_nodes_or_name_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("log");
        create(&dir, &options(&dir)).unwrap();
        let fewer = Options { nodes: Some(1), ..options(&dir) };
        let error = reopened(&dir, &fewer).unwrap_err().to_string();
        assert!(error.contains("3 nodes, not 1"), "{error}");
        let renamed = Options { origin: Some("other.example".to_owned()), ..options(&dir) };
        let error = reopened(&dir, &renamed).unwrap_err().to_string();
        assert!(error.contains("--origin"), "{error}");
    }

    #[test]
    fn a_taken_port_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let temp = tempfile::tempdir().unwrap();
        let node = Node {
            id: 1,
            dir: temp.path().to_owned(),
            client_address: format!("127.0.0.1:{port}"),
            peer_address: "127.0.0.1:0".to_owned(),
        };
        let error = check_node_free(temp.path(), &node).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} (client port of node 1)")));
        assert!(error.contains("--base-port"), "{error}");
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        assert!(plans(3, 65_528).is_ok());
        let error = plans(3, 65_529).unwrap_err().to_string();
        assert!(error.contains("1 to 65528"), "{error}");
        assert!(plans(1, 0).is_err());
    }
}
