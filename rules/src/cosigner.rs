//! The names of the keys that cosign checkpoints (`docs/formats.md` §12), and the groups of a policy that say who is
//! what.

use sillage_proof::batch::Origin;
use sillage_proof::keys::AuthorId;

/// The policy's group of the nodes of the log.
pub const GROUP_NODES: &str = "nodes";
/// The policy's group of the witnesses.
pub const GROUP_WITNESSES: &str = "witnesses";
/// The policy's group of the auditors.
pub const GROUP_AUDITORS: &str = "auditors";

/// The name under which node `id` cosigns: `<origin>/node-<id>`.
pub fn node_name(origin: &Origin, id: u64) -> String {
    format!("{origin}/node-{id}")
}

/// The name under which an auditor cosigns: `<origin>/auditor-<first 16 hexadecimal digits of its author id>`.
pub fn auditor_name(origin: &Origin, author: &AuthorId) -> String {
    let id = author.to_string();
    let short: String = id.chars().take(16).collect();
    format!("{origin}/auditor-{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_documented_ones() {
        let origin = Origin::new("ledger.example/log1").expect("an origin");
        assert_eq!(node_name(&origin, 3), "ledger.example/log1/node-3");
        let author = AuthorId::from_bytes([0xab; 32]);
        assert_eq!(auditor_name(&origin, &author), "ledger.example/log1/auditor-abababababababab");
    }
}
