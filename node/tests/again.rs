//! A batch on record gets its receipt again: whatever the clock says by now, and whatever became of its author.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::asking::{Registered, client, info, register};
use common::{Author, Deployment, Running, key, now_ms, until};
use sillage_proof::batch::ReceiptMessage;
use sillage_proto::v1::{Actor, Batch, Record, SubmitRequest, SubmitResponse};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::record::{act_message, new_message};
use sillage_rules::roles::Roles;

const HOUR_MS: i64 = 3_600_000;

struct World {
    node: Running,
    authority: Author,
    clock: Arc<AtomicI64>,
    /// Keeps the folder.
    _deployment: Deployment,
}

impl World {
    async fn start() -> Self {
        let mut deployment = Deployment::new(1);
        let clock = Arc::new(AtomicI64::new(0));
        let off = Arc::clone(&clock);
        let wall = Arc::new(move || now_ms().checked_add_signed(off.load(Ordering::SeqCst)).expect("after 1970"));
        let node = deployment.start_on(1, wall, |_| ()).await;
        until("a leader", async || node.core.leader()).await;
        let authority = Author::new(key(&deployment.path("keys/authority.key")));
        Self { node, authority, clock, _deployment: deployment }
    }

    async fn act(&mut self, act: &Act) {
        let batch = self.authority.batch(&act_message(act, now_ms()));
        self.node.core.submit(batch).await.expect("an act");
    }

    async fn submit(&self, caller: &Registered, batch: &Batch) -> Result<SubmitResponse, String> {
        let request = SubmitRequest { batch: Some(batch.clone()) };
        let answer = client(&self.node.core, caller).submit(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| info(&status).code)
    }
}

fn event(n: u64) -> Record {
    let mut record = new_message(Kind::SYSTEM_EVENT, None, now_ms() + n);
    record.actor = Some(Actor { system: "urn:sillage:system".into(), id: "store".into(), ..Actor::default() });
    record
}

fn place(answer: SubmitResponse) -> (bool, ReceiptMessage) {
    let message = ReceiptMessage::decode(&answer.receipt.expect("a receipt").message).expect("a receipt");
    (answer.repeated, message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_went_back_keeps_nobody_from_a_receipt() {
    let mut world = World::start().await;
    let service = register(&world.node.core, &mut world.authority, 60, Roles::RECORDER).await;
    let mut author = Author::new(service.key.clone());
    let batch = author.batch(&event(0));
    let (_, first) = place(world.submit(&service, &batch).await.expect("recorded"));
    world.clock.store(-HOUR_MS, Ordering::SeqCst);
    let (repeated, again) = place(world.submit(&service, &batch).await.expect("on record, whatever the clock says"));
    assert!(repeated);
    assert_eq!(
        (again.first_index, again.time_ms, again.batch.root),
        (first.first_index, first.time_ms, first.batch.root)
    );
    let new = author.batch(&event(1));
    assert_eq!(world.submit(&service, &new).await, Err(Code::TimeAhead.as_str().to_owned()), "what is new waits");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_that_was_ended_gets_the_receipt_of_what_is_on_record_and_nothing_more() {
    let mut world = World::start().await;
    let other = register(&world.node.core, &mut world.authority, 70, Roles::RECORDER).await;
    type End = fn(&Registered) -> Act;
    let ends: [(u8, &str, End); 3] = [
        (61, "REVOKED_KEY", |of| Act::Revoked { key_id: of.key.key_id(), reason: "stolen".into() }),
        (62, "UNKNOWN_CALLER", |of| Act::RolesChanged {
            author_id: sillage_proof::keys::AuthorId::of_first_key(&of.key.public_key()),
            roles: Roles::NONE,
            quota_events_per_s: 0,
        }),
        (63, "NOT_ENTITLED", |of| Act::RolesChanged {
            author_id: sillage_proof::keys::AuthorId::of_first_key(&of.key.public_key()),
            roles: Roles::AUDITOR,
            quota_events_per_s: 0,
        }),
    ];
    for (seed, code, end) in ends {
        let service = register(&world.node.core, &mut world.authority, seed, Roles::RECORDER).await;
        let mut author = Author::new(service.key.clone());
        let batch = author.batch(&event(0));
        let (_, first) = place(world.submit(&service, &batch).await.expect("recorded"));
        let size = world.node.core.reader().tree_size().get();
        world.act(&end(&service)).await;
        let (repeated, again) = place(world.submit(&service, &batch).await.expect(code));
        assert!(repeated, "{code}");
        let told =
            |receipt: &ReceiptMessage| (receipt.first_index, receipt.time_ms, receipt.batch.seq, receipt.batch.root);
        assert_eq!(told(&again), told(&first), "{code}");
        // The act and its header alone have come on record.
        assert!(world.node.core.reader().tree_size().get() <= size + 4, "{code}");

        let refused = Err(code.to_owned());
        assert_eq!(world.submit(&service, &author.batch(&event(1))).await, refused, "a new one");
        let another = Author::new(service.key.clone()).batch(&event(7));
        assert_eq!(world.submit(&service, &another).await, refused, "another one of that number");
        let mut altered = batch.clone();
        altered.records[0].salt[0] ^= 1;
        assert_eq!(world.submit(&service, &altered).await, refused, "a record that it didn't sign");
        let mut forged = batch.clone();
        forged.signature[0] ^= 1;
        assert_eq!(world.submit(&service, &forged).await, refused, "without the signature");
        // Who isn't its author learns nothing of it, with the whole batch in hand.
        let told = world.submit(&other, &batch).await.expect_err("another's");
        assert_eq!(told, "NOT_ENTITLED");
        let stranger = Registered { key: service.key.clone(), spki: [200; 32] };
        assert_eq!(world.submit(&stranger, &batch).await, Err("UNKNOWN_CALLER".to_owned()));
    }
    world.node.stop().await;
}
