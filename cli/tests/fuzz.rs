//! Drives every fuzz target for a moment.

use prost::Message as _;
use sillage_cli::fuzz::TARGETS;
use sillage_client::fuzz::trace_line_seed;
use sillage_proof::fuzz::drive;

#[test]
fn no_target_falls_over() {
    let line = trace_line_seed();
    drive(TARGETS, &[line.record.clone(), line.encode_to_vec()], 10_000);
}
