//! Changes of the set of nodes: what an act may make of the set before says `sillage_rules::node_set`; here is what only
//! the ledger knows, which keys and certificates were ever used.

use sillage_proof::hash::LeafIndex;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::node_set::{NodeSetChange, SetNode};

use super::Stop;
use super::acts::refused;
use super::feature::{NODE_SETS, feature_level_reached};
use super::overlay::Overlay;
use super::signing::{check_room, check_signing_key};
use crate::error::Refusal;
use crate::genesis::GenesisInfo;
use crate::node_sets::{NodeSetRow, present};

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
    let in_genesis = genesis.nodes.iter().any(|node| node.tls_spki_sha256 == *spki);
    let in_set = rows.iter().flat_map(|row| &row.nodes).any(|node| node.tls_spki_sha256[..] == spki[..]);
    if in_genesis || in_set || overlay.tls(spki)?.is_some() {
        return Err(refused(format!("the certificate of node {} was used before: make a new one", node.id)));
    }
    Ok(())
}
