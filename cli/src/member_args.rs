//! `cluster member` and `cluster move-leader`, word for word.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the nodes, which of them vote, and what is still to do
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the folder of a new node, and put it on record as a learner: it gets everything and counts for nothing
    Add(NewNode),
    /// Let a learner that has caught up vote
    Promote {
        /// The node's id, as `member list` shows it
        id: u64,
    },
    /// Take a node out for good: it counts no more, and the group's keys are changed
    Remove {
        /// The node's id
        id: u64,
    },
    /// Replace a node that doesn't answer any more: take it out, and make the folder of a new one, under a new id
    Replace {
        /// The id of the node that is gone
        id: u64,
        #[command(flatten)]
        new: NewNode,
    },
}

#[derive(Debug, Args)]
pub struct NewNode {
    /// Where the new node serves, and where the other nodes find it
    #[arg(long, value_name = "HOST:PORT:PEERPORT")]
    pub address: NodeAddress,
    /// Its folder: a new one, to be carried to its machine
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `HOST:PORT:PEERPORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// For services.
    pub port: u16,
    /// For the other nodes.
    pub peer_port: u16,
}

impl NodeAddress {
    fn at(&self, port: u16) -> String {
        join(&self.host, port)
    }

    /// `host:port` for services.
    pub fn client(&self) -> String {
        self.at(self.port)
    }

    /// `host:port` for the other nodes.
    pub fn peer(&self) -> String {
        self.at(self.peer_port)
    }

    /// Where the node listens: its host where that is an address, else everywhere.
    pub fn listens(&self) -> (String, String) {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(_) => (self.client(), self.peer()),
            Err(_) => (join("0.0.0.0", self.port), join("0.0.0.0", self.peer_port)),
        }
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} isn't HOST:PORT:PEERPORT; an IPv6 address stands in brackets");
        let (rest, peer_port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port_of = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        let (port, peer_port) = (port_of(port)?, port_of(peer_port)?);
        match host.is_empty() || port == peer_port {
            true => Err(wrong()),
            false => Ok(Self { host: host.to_owned(), port, peer_port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_two_ports() {
        let node: NodeAddress = "10.0.0.4:7400:7401".parse().expect("an address");
        assert_eq!((node.client(), node.peer()), ("10.0.0.4:7400".to_owned(), "10.0.0.4:7401".to_owned()));
        assert_eq!(node.listens(), (node.client(), node.peer()));
        let node: NodeAddress = "[fd00::4]:7400:7401".parse().expect("an address");
        assert_eq!(node.peer(), "[fd00::4]:7401");
        let node: NodeAddress = "four.example:7400:7401".parse().expect("an address");
        assert_eq!(node.listens().0, "0.0.0.0:7400");
        for bad in ["host:7400", "host:7400:7400", ":1:2", "host:0:1", "host:1:70000", "host"] {
            assert!(bad.parse::<NodeAddress>().is_err(), "{bad}");
        }
    }
}
