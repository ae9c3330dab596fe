//! What others ask: bytes that are no request, identities that are none, made-up cursors, proofs of what isn't there.

use sillage_proto::v1::{
    GetEntryRequest, PatientIdentity, ProveConsistencyRequest, ProveInclusionRequest, ResolveTagsRequest, TraceRequest,
};
use sillage_tests::lines::{INS, OID, access, ins};
use sillage_tests::wire::{self, Rpc};
use sillage_tests::world::World;
use tonic::{Response, Status};

use super::size;

/// Asserts that every node refuses the call with this code.
fn refused<T, F>(world: &World, code: &str, call: impl Fn(Rpc) -> F)
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let profile = world.profile();
    for node in 1..=3 {
        let rpc = wire::rpc(&profile, node, Some(&wire::pem_of(&profile)));
        let status = world.wait(call(rpc)).err().unwrap_or_else(|| panic!("node {node} answers what is {code}"));
        let info = wire::info(&status);
        assert_eq!(info.code, code, "node {node}: {}", info.message);
    }
}

pub fn bytes_that_are_no_request(world: &mut World) {
    let before = size(world);
    let profile = world.profile();
    // A length that isn't there; a group, which proto3 doesn't have; a byte that begins nothing.
    let broken: [&[u8]; 3] = [b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x0c", b"\xff"];
    // With each call a text that isn't UTF-8: a stream's label, twice, and an INS.
    let calls: [(&str, &[u8]); 3] = [
        ("/sillage.v1.Ledger/Submit", b"\x0a\x04\x1a\x02\xc3\x28"),
        ("/sillage.v1.Ledger/StreamStatus", b"\x0a\x02\xc3\x28"),
        ("/sillage.v1.Ledger/ResolveTags", b"\x0a\x04\x0a\x02\xc3\x28"),
    ];
    world.wait(async {
        for node in 1..=3 {
            let channel = wire::channel(&profile, node, Some(&wire::pem_of(&profile)));
            for (method, text) in calls {
                for bytes in [&broken[..], &[text]].concat() {
                    let answer = wire::raw(channel.clone(), method, bytes.to_vec()).await;
                    let Err(status) = answer else { panic!("{method} answers {bytes:x?}") };
                    let info = wire::info(&status);
                    let codes = ["MALFORMED_REQUEST", "INVALID_UTF8"];
                    assert!(codes.contains(&info.code.as_str()), "{method} {bytes:x?}: {info:?}");
                }
            }
            let unknown = wire::raw(channel.clone(), "/sillage.v1.Ledger/Dance", Vec::new()).await;
            assert_eq!(unknown.expect_err("no such call").code(), tonic::Code::Unimplemented);
        }
    });
    assert_eq!(size(world), before);
}

pub fn identities_that_are_none(world: &mut World) {
    let resolve = |ins: &str, oid: &str| {
        let identity = PatientIdentity { ins: ins.to_owned(), oid: oid.to_owned() };
        ResolveTagsRequest { identities: vec![identity] }
    };
    for (ins, oid) in
        [("", OID), ("27903512151898", OID), ("2790351215189890", OID), ("27903512151898X", OID), (INS, "1.2.3")]
    {
        let request = resolve(ins, oid);
        refused(world, "INVALID_INS", |mut rpc| {
            let request = request.clone();
            async move { rpc.resolve_tags(request).await }
        });
    }
    let many = ResolveTagsRequest { identities: vec![resolve(INS, OID).identities[0].clone(); 1_001] };
    refused(world, "MALFORMED_REQUEST", |mut rpc| {
        let request = many.clone();
        async move { rpc.resolve_tags(request).await }
    });
}

pub fn cursors_and_filters_that_were_made_up(world: &mut World) {
    let patient = ins(80);
    world.record(&(0..3).map(|i| access(&patient, &i.to_string())).collect::<Vec<_>>());
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
    let identity = PatientIdentity { ins: patient, oid: OID.to_owned() };
    let tags = world.wait(rpc.resolve_tags(ResolveTagsRequest { identities: vec![identity] })).expect("a tag");
    let base = TraceRequest { tag: tags.into_inner().tags[0].tag.clone(), limit: 1, ..TraceRequest::default() };
    let cursor = world.wait(rpc.trace(base.clone())).expect("a page").into_inner().next_cursor;
    assert!(!cursor.is_empty());

    let mut turned = cursor.clone();
    turned[5] ^= 1;
    let cursors = [
        b"made up".to_vec(),
        vec![0; cursor.len()],
        turned,
        cursor[1..].to_vec(),
        [&cursor[..], &[0]].concat(),
        vec![1; 9_000],
    ];
    let with = |change: &dyn Fn(&mut TraceRequest)| {
        let mut request = base.clone();
        change(&mut request);
        request
    };
    let mut cases: Vec<(TraceRequest, &str)> =
        cursors.into_iter().map(|cursor| (TraceRequest { cursor, ..base.clone() }, "INVALID_CURSOR")).collect();
    cases.extend([
        (with(&|r| (r.cursor, r.actor) = (cursor.clone(), "someone".to_owned())), "INVALID_CURSOR"),
        (with(&|r| (r.cursor, r.tag) = (cursor.clone(), vec![1; 32])), "INVALID_CURSOR"),
        (with(&|r| r.tag = vec![1; 31]), "MALFORMED_REQUEST"),
        (with(&|r| r.limit = 501), "MALFORMED_REQUEST"),
        (with(&|r| (r.from_ms, r.to_ms) = (2, 1)), "MALFORMED_REQUEST"),
        (with(&|r| r.kind = 0x0699), "UNKNOWN_KIND"),
    ]);
    for (request, code) in cases {
        refused(world, code, |mut rpc| {
            let request = request.clone();
            async move { rpc.trace(request).await }
        });
    }
    // A cursor of one node is good on another.
    let mut other = wire::rpc(&profile, 2, Some(&wire::pem_of(&profile)));
    world.wait(other.trace(TraceRequest { cursor, ..base })).expect("the next page");
}

pub fn proofs_of_what_is_not_there(world: &mut World) {
    let size = size(world);
    for (index, of, code) in
        [(0, size + 1_000, "SIZE_NOT_REACHED"), (0, u64::MAX, "SIZE_NOT_REACHED"), (size - 1, 1, "UNKNOWN_INDEX")]
    {
        refused(
            world,
            code,
            |mut rpc| async move { rpc.prove_inclusion(ProveInclusionRequest { index, size: of }).await },
        );
    }
    refused(world, "SIZE_NOT_REACHED", |mut rpc| async move {
        rpc.prove_consistency(ProveConsistencyRequest { old_size: 1, new_size: size + 1_000 }).await
    });
    for index in [size + 1_000, u64::MAX] {
        refused(world, "UNKNOWN_INDEX", |mut rpc| async move { rpc.get_entry(GetEntryRequest { index }).await });
    }
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
    let backwards = ProveConsistencyRequest { old_size: 3, new_size: 2 };
    let status = world.wait(rpc.prove_consistency(backwards)).expect_err("sizes in the wrong order");
    wire::info(&status);
}
