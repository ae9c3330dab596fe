//! Bad input: each a typed error with its code, nothing recorded, nothing lost, the node stays up.
//!
//! [`batches`]: what authors sign; [`requests`]: what others ask; [`doors`]: who may come in at all.

mod batches;
mod doors;
mod requests;

use std::process::ExitCode;

use sillage_proto::v1::{Batch, ErrorInfo, SubmitRequest, SubmitResponse};
use sillage_tests::story::tell;
use sillage_tests::world::World;
use sillage_tests::{lines, stories, wire};

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            batches::keys_that_sign_nothing_here,
            batches::what_was_altered_after_it_was_signed,
            batches::numbers_of_a_stream,
            batches::too_much_or_nothing,
            batches::records_that_are_not_records,
            batches::what_an_author_may_not_say,
            batches::the_past_is_accepted_and_the_future_is_not,
            batches::any_flipped_bit_is_refused,
            batches::keys_that_were_revoked_or_replaced,
            batches::more_than_the_quota,
            requests::bytes_that_are_no_request,
            requests::identities_that_are_none,
            requests::cursors_and_filters_that_were_made_up,
            requests::proofs_of_what_is_not_there,
            doors::callers_whom_nobody_knows,
            doors::callers_without_the_role,
            doors::the_peer_port_is_for_nodes,
            doors::bytes_that_are_not_tls,
            doors::a_flood_of_connections_keeps_nobody_out,
        ],
    )
}

/// The canonical bytes of a good record of the patient with this tag. `note` tells it from others.
fn record(tag: [u8; 32], note: &str) -> Vec<u8> {
    let line = lines::access(lines::INS, note).to_string();
    let line = sillage_rules::line::RecordLine::parse(line.as_bytes()).expect("a record line");
    line.to_record(Some(&tag)).expect("a record").into_bytes()
}

/// Hands a batch to a node, as the profile's caller.
fn submit(world: &World, node: usize, batch: Batch) -> Result<SubmitResponse, tonic::Status> {
    let profile = world.profile();
    world.wait(async {
        let mut rpc = wire::rpc(&profile, node, Some(&wire::pem_of(&profile)));
        rpc.submit(SubmitRequest { batch: Some(batch) }).await.map(tonic::Response::into_inner)
    })
}

/// Asserts that every node refuses the batch with this code, and that the log stays as it is.
fn refused(world: &World, batch: &Batch, code: &str) -> ErrorInfo {
    let before = size(world);
    let mut last = ErrorInfo::default();
    for node in 1..=3 {
        let status = submit(world, node, batch.clone()).expect_err(code);
        last = wire::info(&status);
        assert_eq!(last.code, code, "node {node}: {}", last.message);
        assert!(!last.message.is_empty(), "a code without its sentence");
    }
    assert_eq!(size(world), before, "{code}: nothing is recorded");
    last
}

/// The size of the log, once all three nodes have it and an index commit covers what came before.
fn size(world: &World) -> u64 {
    world.sillage(&["checkpoint"]).ok();
    world.settled(3)[0].tree_size
}
