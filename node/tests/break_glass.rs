//! Broken glass: opened at once, also for someone without a name, answered for in a register that others read.

mod common;

use std::sync::Arc;

use common::asking::{
    DR_X, Registered, client, doctor, glass, info, patient, policy, put, register, request, signed, two_tags,
};
use common::{Author, Deployment, key, now_ms, until};
use serde_json::json;
use sillage_node::core::Core;
use sillage_proto::v1::{Actor, ListBreakGlassRequest, ListBreakGlassResponse, Record};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;
use sillage_rules::roles::Roles;

fn about(kind: Kind, tag: Option<[u8; 32]>, by: Actor, details: &serde_json::Value) -> Record {
    let mut record = new_message(kind, tag.as_ref(), now_ms());
    record.actor = Some(by);
    record.details = details.to_string();
    record
}

async fn list(core: &Arc<Core>, auditor: &Registered, request: ListBreakGlassRequest) -> ListBreakGlassResponse {
    client(core, auditor).list_break_glass(request).await.expect("a page").into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_glass_gives_access_owes_an_answer_and_stands_in_the_register() {
    let mut deployment = Deployment::new(1);
    let node = deployment.start(1).await;
    let core = Arc::clone(&node.core);
    until("a leader", async || core.leader()).await;
    let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
    let claire = two_tags(&core, 7);
    let store = register(&core, &mut authority, 51, Roles::DECIDER).await;
    let auditor = register(&core, &mut authority, 52, Roles::AUDITOR).await;
    // Justified at once or never: what isn't is overdue.
    let strict = policy(&authority, &json!({ "version": "strict", "justification_due_s": 0 }));
    put(&core, &mut authority, &strict).await;
    let mut samu = Author::new(key(&deployment.path("keys/profile.key")));

    // Someone without a name, then with one: the same emergency goes on.
    let unknown = put(&core, &mut samu, &glass(None, "bg1", DR_X, &json!({ "search": "NONE" }))).await;
    let all = ListBreakGlassRequest::default();
    let register = list(&core, &auditor, all).await;
    let row = &register.rows[0];
    assert_eq!((row.index, row.patient_identified, row.tag.len()), (unknown, false, 0));
    let identified =
        put(&core, &mut samu, &glass(Some(claire.open), "bg2", DR_X, &json!({ "continues": "bg1" }))).await;
    let mut asked = request(&claire, DR_X, &["doc1"]);
    asked.0.purpose = "BTG".to_owned();
    let answer = core.authorize(&store.party(&core), signed(&store.key, &[asked])).await.expect("an answer");
    assert_eq!(answer.decisions[0].permitted, ["doc1"]);
    assert!(answer.decisions[0].obligations.contains(&"JUSTIFY".to_owned()));

    let other = put(&core, &mut samu, &glass(Some(patient(8)), "bg3", DR_X, &json!({ "case": "INCAPACITY" }))).await;
    let register = list(&core, &auditor, all).await;
    assert_eq!(register.rows.iter().map(|row| row.index).collect::<Vec<_>>(), [unknown, identified, other]);
    assert_eq!(register.rows[0].continued_index, identified);
    let row = &register.rows[1];
    assert_eq!((row.id.as_str(), row.case.as_str(), row.organisation.as_str()), ("bg2", "INCAPACITY", "F100"));
    assert_eq!(row.actor, format!("{}|{DR_X}", common::asking::RPPS));
    assert!(row.patient_identified && row.tag == claire.open && row.expires_ms > row.opened_ms);
    let open = list(&core, &auditor, ListBreakGlassRequest { open_only: true, ..all }).await;
    assert_eq!(open.rows.iter().map(|row| row.index).collect::<Vec<_>>(), [identified, other]);
    let overdue = list(&core, &auditor, ListBreakGlassRequest { overdue_only: true, limit: 1, ..all }).await;
    assert!(overdue.more && overdue.rows[0].overdue && overdue.rows[0].index == identified);

    let justified = json!({ "breakglass": "bg2", "text": "found unconscious" });
    let justified = about(Kind::BREAKGLASS_JUSTIFIED, Some(claire.open), doctor(DR_X), &justified);
    let justified = put(&core, &mut samu, &justified).await;
    let closed = about(Kind::BREAKGLASS_CLOSED, Some(claire.open), doctor(DR_X), &json!({ "breakglass": "bg2" }));
    let closed = put(&core, &mut samu, &closed).await;
    let own = json!({ "breakglass": "bg2", "verdict": "JUSTIFIED" });
    let own = about(Kind::BREAKGLASS_REVIEWED, Some(claire.open), doctor(DR_X), &own);
    let refusal = core.submit(samu.batch(&own)).await.expect_err("by who opened it");
    assert_eq!(refusal.code.as_str(), "NOT_ENTITLED");
    let rest = list(&core, &auditor, ListBreakGlassRequest { after_index: unknown, limit: 1, ..all }).await;
    let row = &rest.rows[0];
    assert_eq!((row.justified_index, row.closed_index, row.reviewed_index), (justified, closed, 0));
    assert!(!row.overdue && rest.more);
    assert!(row.justified_ms >= row.opened_ms && row.closed_ms >= row.justified_ms && row.reviewed_ms == 0, "dates");

    // That the register was read is on record, of no patient; and who else asks is refused.
    let consulted = (0..core.reader().tree_size().get()).filter(|index| {
        let reading = node.consulted((*index).into());
        reading.is_some_and(|record| record.details == r#"{"read":"break-glass"}"# && record.tag.is_empty())
    });
    assert_eq!(consulted.count(), 5);
    // Why is told to who may open the traces that it stands in, and to nobody else.
    let reader = common::asking::register(&core, &mut authority, 53, Roles::READER).await;
    let told = list(&core, &reader, all).await;
    assert!(told.rows.iter().all(|row| row.reason == "unconscious"), "{told:?}");
    assert!(register.rows.iter().all(|row| row.reason.is_empty() && row.text.is_empty()));
    let status = client(&core, &store).list_break_glass(all).await.expect_err("no auditor");
    assert_eq!(info(&status).code, "NOT_ENTITLED");
    drop(core);
    node.stop().await;
}
