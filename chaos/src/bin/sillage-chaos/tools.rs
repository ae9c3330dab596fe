//! The tools that make faults: the network, the disks and the clocks that the nodes were moved into, and their folders.

use super::Error;
use super::kinds::{Kind, Need};
use sillage_chaos::process::clock::{self, FalseClock};
use sillage_chaos::process::disk::{FaultyDisk, Shim};
use sillage_chaos::process::folder::Folders;
use sillage_chaos::process::keyring::Keyrings;
use sillage_chaos::process::net::{self, Net};
use sillage_chaos::process::{Cluster, Surroundings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Only what the chosen kinds need is there.
pub struct Tools {
    /// The nodes' data folders.
    pub folders: Folders,
    /// The nodes' keyrings.
    pub keyrings: Keyrings,
    folder: PathBuf,
    net: Option<Net>,
    shim: Option<Shim>,
    disks: BTreeMap<u64, FaultyDisk>,
}

impl Tools {
    /// Makes what `kinds` need, in `folder`, and moves the nodes into it.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn lay_out(cluster: &mut Cluster, kinds: &[Kind], folder: &Path) -> Result<Self, Error> {
        let needs = |need: Need| kinds.iter().any(|kind| kind.need() == need);
        let mut tools = Self {
            folders: Folders::new(cluster.dir()),
            keyrings: Keyrings::new(cluster.dir()),
            folder: folder.to_owned(),
            net: None,
            shim: None,
            disks: BTreeMap::new(),
        };
        if needs(Need::Network) {
            tools.net = Some(Net::new(*cluster.ids().end())?);
        }
        if needs(Need::Compiler) {
            let shim = Shim::compile(folder)?;
            for id in cluster.ids() {
                tools.disks.insert(id, shim.disk(&format!("node-{id}"), &tools.folders.data(id))?);
            }
            tools.shim = Some(shim);
        }
        for id in cluster.ids() {
            cluster.surround(id, Some(tools.surroundings(id)));
        }
        // Also where nothing surrounds them: each is then a child of ours, and says to us how it ended.
        cluster.move_into(tools.net.is_some().then_some(net::address)).await?;
        Ok(tools)
    }

    /// Where node `id` is started.
    pub fn surroundings(&self, id: u64) -> Surroundings {
        let disk = self.disks.get(&id);
        Surroundings {
            namespace: self.net.as_ref().map(|net| net.namespace(id)),
            preload: self.shim.iter().map(|shim| shim.library().to_owned()).collect(),
            env: disk.map(FaultyDisk::env).unwrap_or_default(),
        }
    }

    /// The network.
    ///
    /// # Errors
    /// When no kind needed one.
    pub fn net(&mut self) -> Result<&mut Net, Error> {
        self.net.as_mut().ok_or_else(|| "no network was made".into())
    }

    /// The disk of node `id`.
    ///
    /// # Errors
    /// When no kind needed one.
    pub fn disk(&self, id: u64) -> Result<&FaultyDisk, Error> {
        self.disks.get(&id).ok_or_else(|| "no library was compiled".into())
    }

    /// A clock for node `id`, right for now, and the surroundings in which the node goes by it.
    ///
    /// # Errors
    /// When `faketime` is missing.
    pub fn clock(&self, id: u64) -> Result<(FalseClock, Surroundings), Error> {
        let library = clock::library().ok_or("faketime is not installed")?;
        let clock = FalseClock::right(&self.folder.join(format!("node-{id}.clock")))?;
        let mut surroundings = self.surroundings(id);
        surroundings.preload.push(library);
        surroundings.env.extend(clock.env());
        Ok((clock, surroundings))
    }
}
