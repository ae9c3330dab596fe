//! Drives every fuzz target for a moment.

mod common;

use common::{act, batch, command, command2, consulted, genesis, record, registration, tag, wrapped};
use sillage_ledger::fuzz::TARGETS;
use sillage_proof::fuzz::drive;
use sillage_rules::act::Act;
use sillage_rules::roles::Roles;

/// A keyring of three keys without its checksum, which the target adds.
fn keyring() -> Vec<u8> {
    let mut out = b"sillage/keyring\0\x01\0\0\0\x03".to_vec();
    for (prefix, epoch) in [(0_u16, 1_u32), (0, 2), (4_095, 1)] {
        out.extend(prefix.to_be_bytes());
        out.extend(epoch.to_be_bytes());
        out.extend([7; 32]);
    }
    out
}

#[test]
fn no_target_falls_over() {
    let register = act(&Act::Registered(registration(10, Roles::AUTHOR)));
    let batches =
        vec![batch(2, "s", 1, vec![record(1, tag(1), 1), record(2, tag(2), 2)]), batch(1, "acts", 1, vec![register])];
    let payload = record(1, tag(1), 1).payload.to_vec();
    let own = command2(Vec::new(), vec![consulted(1)], true);
    let seeds = [genesis(), keyring(), payload, wrapped(tag(1), 1).wrapped, command(batches), own];
    drive(TARGETS, &seeds, 40_000);
}
