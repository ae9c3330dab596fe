//! What the thief of [`super::stolen`] says, kind by kind.

use serde_json::{Value, json};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_rules::kind::Kind;
use sillage_rules::time::{ParisDay, TimeMs};
use sillage_rules::will::issuer::Issuer;
use sillage_rules::will::test_issuer::TestIssuer;
use sillage_tests::health::{in_s, rpps};
use sillage_tests::lines::now_ms;

use super::stolen::{DEPOSITOR, OWN_DOCTOR, OWN_STRUCTURE, RPPS};

/// An issuer of the thief's own.
pub fn thiefs_issuer() -> Issuer {
    let origin = Origin::new("thief.example/log").expect("an origin");
    let keys = TestIssuer::new(SigningKey::from_seed(&[9; 32]), origin).published().keys;
    Issuer {
        url: "https://thief.example".to_owned(),
        name: "the thief's own".to_owned(),
        keys,
        audiences: vec!["ledger".to_owned()],
        ins_claim: "ins".to_owned(),
        oid_claim: String::new(),
        person_claim: "sub".to_owned(),
        person_system: String::new(),
        acr_substantial: vec!["eidas2".to_owned()],
        acr_high: Vec::new(),
        session_s: 0,
        from_ms: 1,
        until_ms: 0,
        test: false,
    }
}

/// The heartbeat of a source of this structure.
pub fn heartbeat(structure: &str) -> Value {
    let day = ParisDay::of(TimeMs(now_ms()));
    json!({"source": "pacs", "structure": structure, "day": day, "received": 0, "recorded": 0, "waiting": 0, "refused": 0})
}

/// What a record of this kind needs to say so that it would take effect.
pub fn details(kind: Kind, document: &str, by_authority: bool) -> Value {
    let other = format!("{RPPS}|{DEPOSITOR}");
    let own = format!("{RPPS}|{OWN_DOCTOR}");
    // The doctor has a colleague, whose name is made up: nobody joins on their own word.
    let colleague = format!("{RPPS}|{}", rpps(82));
    let person = "urn:sillage:person|thief";
    match kind {
        Kind::CONSENT_DIRECTIVE => {
            json!({"id": "stolen", "effect": "permit", "grantee": {"professional": own}, "actions": ["read"]})
        }
        Kind::CONSENT_REVOKED => json!({"consent": "stolen"}),
        Kind::EMERGENCY_OPPOSITION | Kind::EMERGENCY_OPPOSITION_LIFTED => json!({"cases": ["SAMU"]}),
        Kind::PROFESSIONAL_BLOCKED | Kind::PROFESSIONAL_UNBLOCKED => json!({"professional": other}),
        Kind::ITEM_EMBARGOED => json!({"until": in_s(3_600)}),
        Kind::FEED_OPPOSED | Kind::FEED_OPPOSITION_LIFTED => json!({"source": other, "ground": "mine"}),
        Kind::REPRESENTATION_REGISTERED if by_authority => json!({
            "representative": person, "relation": "PARENT", "until": in_s(3_600),
            "powers": ["read", "write", "update", "delete", "export", "consent"],
        }),
        Kind::REPRESENTATION_REGISTERED => json!({
            "representative": person, "relation": "TRUSTED_PERSON", "activated": true,
            "powers": ["read", "write", "update", "delete", "export", "consent"],
        }),
        Kind::REPRESENTATION_ENDED => json!({"representative": person}),
        Kind::CARETEAM_JOINED => {
            json!({"professional": colleague, "until": in_s(3_600), "organisation": OWN_STRUCTURE})
        }
        Kind::CARETEAM_LEFT => json!({"professional": colleague}),
        Kind::ATTENDING_DECLARED | Kind::ATTENDING_ENDED => json!({"professional": own}),
        Kind::BREAKGLASS_OPENED => json!({
            "id": "stolen.bg", "case": "INCAPACITY", "reason": "unconscious", "expires": in_s(3_600), "no_position": "INDOORS",
        }),
        Kind::BREAKGLASS_JUSTIFIED => json!({"breakglass": "stolen.bg", "text": "none"}),
        Kind::BREAKGLASS_CLOSED => json!({"breakglass": "stolen.bg"}),
        Kind::BREAKGLASS_REVIEWED => {
            let theirs = document.rsplit_once('-').map_or("", |(_, number)| number);
            json!({"breakglass": format!("theirs.{theirs}"), "verdict": "JUSTIFIED"})
        }
        Kind::DEVICE_REGISTERED => json!({
            "party": "11".repeat(32), "name": "mine", "authority": "authority", "salt": "22".repeat(16), "other": "33".repeat(32),
        }),
        Kind::SESSION_OPENED => json!({"portal": "11".repeat(32)}),
        Kind::SESSION_CLOSED => json!({"session": "11".repeat(32)}),
        Kind::CONTEST_OPENED => json!({"id": "stolen", "about": 2, "question": "?"}),
        Kind::CONTEST_ANSWERED => json!({"contest": "stolen", "answer": "!"}),
        Kind::CONTEST_CLOSED => json!({"contest": "stolen"}),
        Kind::POLICY_PUBLISHED => json!({"version": "thief"}),
        Kind::MATRIX_PUBLISHED => json!({"version": "thief", "deny": []}),
        Kind::CATALOGUE_PUBLISHED => json!({"version": "thief", "apps": []}),
        _ => Value::Null,
    }
}
