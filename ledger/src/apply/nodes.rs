//! Changes of the set of nodes: what an act may make of the set before says `sillage_rules::node_set`; here is what only
//! the ledger knows, which keys and certificates were ever used, by a node or by a party.

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;
use sillage_rules::act::TlsSpki;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::node_set::{NodeSetChange, SetNode};

use super::acts::refused;
use super::feature::{NODE_SETS, ROLES, feature_level_reached};
use super::signing::{check_room, check_signing_key, is_signing_key};
use crate::error::{Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::nodes::present;
use crate::overlay::Overlay;
use crate::rows::NodeSetRow;

/// Changes the set of nodes.
pub(super) fn change(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    change: &NodeSetChange,
    index: LeafIndex,
) -> Result<(), Stop> {
    if !feature_level_reached(overlay, NODE_SETS)? {
        // As a node answers that doesn't know the kind: until every node does, all of them must answer the same.
        let unknown = Kind::NODE_SET_CHANGED;
        let what =
            format!("not every node of this log knows the kind {unknown} yet: update all of them, then send it again");
        return Err(Stop::Refused(Refusal::new(Code::UnknownKind, what)));
    }
    check_room(overlay)?;
    let rows = overlay.node_sets()?;
    for node in &change.added {
        check_certificate(overlay, genesis, &rows, node)?;
        check_signing_key(overlay, genesis, &node.key)?;
    }
    let next = present(rows, genesis)?.after(change).map_err(|error| refused(error.to_string()))?;
    overlay.put_node_set(NodeSetRow::new(&next, index));
    if !change.removed.is_empty() {
        overlay.registry.removals.push(index);
    }
    Ok(())
}

/// A certificate names whoever came with it first for good.
fn check_certificate(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    rows: &[NodeSetRow],
    node: &SetNode,
) -> Result<(), Stop> {
    let spki = &node.tls_spki_sha256;
    if is_node_certificate(genesis, rows, spki) || overlay.tls(spki)?.is_some() {
        return Err(refused(format!("the certificate of node {} was used before: make a new one", node.id)));
    }
    Ok(())
}

fn is_node_certificate(genesis: &GenesisInfo, rows: &[NodeSetRow], spki: &TlsSpki) -> bool {
    let in_genesis = genesis.nodes.iter().any(|node| node.tls_spki_sha256 == *spki);
    in_genesis || rows.iter().flat_map(|row| &row.nodes).any(|node| node.tls_spki_sha256[..] == spki[..])
}

/// No party comes with a key or a certificate that a node, or the log itself, ever had: what the one signs must never be
/// taken for the other's, and a disk that a removed node left must open no door.
pub(super) fn check_party(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    key: &PublicKey,
    certificates: &[TlsSpki],
) -> Result<(), Stop> {
    // Until every node knows this rule, all of them must answer as they did before.
    if !feature_level_reached(overlay, ROLES)? {
        return Ok(());
    }
    if is_signing_key(overlay, genesis, key)? {
        return Err(refused("this key is or was a node's, or the log's own: make a new one for the party"));
    }
    let rows = overlay.node_sets()?;
    match certificates.iter().any(|spki| is_node_certificate(genesis, &rows, spki)) {
        true => Err(refused("this certificate is or was a node's: make a new one for the party")),
        false => Ok(()),
    }
}
