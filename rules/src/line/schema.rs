//! The JSON Schema of a record line, for those who write one.

use serde_json::{Map, Value, json};

use super::{BasisToken, OutcomeToken};
use crate::doors::sources::{CHANGES_MAX, SILENT_AFTER_S};
use crate::kind::{Group, Kind};
use crate::limits::*;
use crate::roles::Roles;
use crate::vouching::Vouched;
use crate::will;

/// The JSON Schema (draft 2020-12) of a record line.
pub fn schema() -> Value {
    let tokens: Vec<&str> = Kind::ALL.iter().filter(|kind| !kind.made_by_ledger()).map(|kind| kind.token()).collect();
    // Who breaks the glass may not know the patient yet.
    let needs_patient =
        |kind: &&Kind| kind.has_patient() && kind.group() != Group::Emergency && **kind != Kind::RECORDS_VOIDED;
    let concerned: Vec<&str> = Kind::ALL.iter().filter(needs_patient).map(|kind| kind.token()).collect();
    let mut root = object(
        "One record: who did what to whose data, when, why, by what right. One line of a file is one record.",
        &["kind", "occurred_at"],
        json!({
            "kind": {"description": "What it says (docs/formats.md §2).", "enum": tokens},
            "patient": patient(),
            "secret": {"description": "Kept from a minor's representatives.", "type": "boolean"},
            "actor": {"$ref": "#/$defs/actor"},
            "auth": auth(),
            "items": {"description": "What.", "type": "array", "maxItems": ITEMS_MAX, "items": item()},
            "occurred_at": {
                "description": "When it happened: RFC 3339 with its zone, at most 5 minutes from now.",
                "type": "string", "format": "date-time"
            },
            "purpose": {
                "description": "Why: a code of v3-PurposeOfUse, such as TREAT, BTG, PATRQT.",
                "type": "string", "maxLength": TOKEN_BYTES_MAX, "pattern": "^[!-~]*$"
            },
            "basis": basis(),
            "outcome": {"description": "How it ended.", "enum": OutcomeToken::TOKENS},
            "outcome_text": text("How it ended, in words.", TEXT_BYTES_MAX),
            "place": place(),
            "deferred": object(
                "Handed in after an establishment's emergency mode, while the ledger was out of reach.",
                &["reason"],
                json!({"reason": {"description": "Why.", "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX}}),
            ),
            "correlation": correlation(),
            "automated": object(
                "A software acted on its own.",
                &["software"],
                json!({
                    "software": {"description": "Its name.", "type": "string", "minLength": 1, "maxLength": LABEL_BYTES_MAX},
                    "version": text("Its version.", TOKEN_BYTES_MAX),
                }),
            ),
            "agents": {"description": "Who else took part.", "type": "array", "maxItems": AGENTS_MAX, "items": agent()},
            "details": {
                "description": "The fields of the kind: at most 16 KiB and 16 levels, no name twice.",
                "type": "object"
            },
            "original": original(),
            "act": act(),
            "will": will(),
        }),
    );
    let top = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id", json!("urn:sillage:schema:record-line:v1")),
        ("title", json!("Sillage record line")),
        ("$defs", json!({"actor": actor(), "hash": hash()})),
        ("if", json!({"properties": {"kind": {"enum": concerned}}})),
        ("then", json!({"required": ["patient"]})),
        ("else", json!({"properties": {"patient": false}})),
    ];
    root.extend(top.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(root)
}

/// An object with these properties and no others.
fn object(description: &str, required: &[&str], properties: Value) -> Map<String, Value> {
    let fields = [
        ("description", json!(description)),
        ("type", json!("object")),
        ("required", json!(required)),
        ("properties", properties),
        ("additionalProperties", json!(false)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A text of at most so many bytes; JSON Schema counts characters, which are never more.
fn text(description: &str, bytes_max: usize) -> Value {
    json!({"description": description, "type": "string", "maxLength": bytes_max})
}

fn hash() -> Value {
    json!({"description": "32 bytes in hexadecimal.", "type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
}

fn patient() -> Map<String, Value> {
    object(
        "Whose data or consent. Required by the kinds that concern a patient.",
        &["ins", "oid"],
        json!({
            "ins": {
                "description": "The 15 characters of the INS with its key.",
                "type": "string", "pattern": "^[1-478][0-9]{4}([0-9]{2}|2[AB])[0-9]{8}$"
            },
            "oid": {
                "description": "1.2.250.1.213.1.4.8 (NIR) or .9 (NIA); .10 (test) and .11 (demonstration) on test logs.",
                "type": "string", "pattern": "^1\\.2\\.250\\.1\\.213\\.1\\.4\\.(8|9|10|11)$"
            },
        }),
    )
}

fn actor() -> Map<String, Value> {
    object(
        "Who. May be left out where `automated` is given.",
        &["system", "id"],
        json!({
            "system": text("URI of the identifier system, such as urn:oid:1.2.250.1.71.4.2.1 (RPPS).", ID_BYTES_MAX),
            "id": text("The id in that system.", ID_BYTES_MAX),
            "role": text("Profession or role.", TOKEN_BYTES_MAX),
            "organisation": text("FINESS or another id of the structure.", ID_BYTES_MAX),
            "label": text("As a person reads it, as of then.", LABEL_BYTES_MAX),
        }),
    )
}

fn auth() -> Map<String, Value> {
    object(
        "How the actor proved who it is.",
        &[],
        json!({
            "issuer": text("Who says so.", ID_BYTES_MAX),
            "method": text("By what means.", ID_BYTES_MAX),
            "eidas_level": {"description": "eIDAS level.", "enum": ["", "low", "substantial", "high"]},
        }),
    )
}

fn item() -> Map<String, Value> {
    object(
        "One thing: at least an id, a category or a label.",
        &[],
        json!({
            "id": text("Its id.", ID_BYTES_MAX),
            "category": text("Its category.", TOKEN_BYTES_MAX),
            "labels": {
                "description": "Its confidentiality and other labels.",
                "type": "array", "maxItems": ITEM_LABELS_MAX,
                "items": {"type": "string", "minLength": 1, "maxLength": TOKEN_BYTES_MAX}
            },
            "depositor": text("Who deposited it.", ID_BYTES_MAX),
            "label": text("As a person reads it.", LABEL_BYTES_MAX),
        }),
    )
}

fn basis() -> Map<String, Value> {
    object(
        "By what right. An access without basis is recorded and flagged UNJUSTIFIED.",
        &["kind"],
        json!({
            "kind": {"description": "What kind of right.", "enum": BasisToken::TOKENS},
            "ref": text("What it points to: a decision, a consent, a break-glass, an article of law.", ID_BYTES_MAX),
        }),
    )
}

fn place() -> Map<String, Value> {
    object(
        "Where.",
        &[],
        json!({
            "site": text("The site.", ID_BYTES_MAX),
            "network_address": text("The network address of the actor.", ID_BYTES_MAX),
            "device": text("The actor's device.", ID_BYTES_MAX),
            "observer": text("The system that observed the event.", ID_BYTES_MAX),
        }),
    )
}

fn correlation() -> Map<String, Value> {
    object(
        "Ids that join the record to other logs.",
        &[],
        json!({
            "launch_context": text("The launch context of an app.", ID_BYTES_MAX),
            "ids": {
                "description": "Request and trace ids.",
                "type": "array", "maxItems": CORRELATION_IDS_MAX,
                "items": {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}
            },
        }),
    )
}

fn agent() -> Map<String, Value> {
    object(
        "Someone who took part: a name or a network address.",
        &[],
        json!({
            "type": {"description": "What part it had.", "type": "string", "maxLength": TOKEN_BYTES_MAX, "pattern": "^[!-~]*$"},
            "who": {"$ref": "#/$defs/actor"},
            "network_address": text("Its network address.", ID_BYTES_MAX),
            "requestor": {"description": "Whether it asked for what happened.", "type": "boolean"},
        }),
    )
}

fn original() -> Map<String, Value> {
    let mut original = object(
        "What the record was made from, as received.",
        &["media_type"],
        json!({
            "media_type": {"description": "Its media type.", "type": "string", "minLength": 1, "maxLength": TOKEN_BYTES_MAX},
            "text": {"description": "Its bytes, where they are UTF-8.", "type": "string"},
            "hex": {"description": "Its bytes, where they aren't.", "type": "string", "pattern": "^([0-9a-fA-F]{2})*$"},
        }),
    );
    original.insert("oneOf".to_owned(), json!([{"required": ["text"]}, {"required": ["hex"]}]));
    original
}

fn node_set() -> Map<String, Value> {
    let id = json!({"description": "A node's id.", "type": "integer", "minimum": 1});
    let ids = json!({"type": "array", "maxItems": NODES_MAX, "items": id});
    let hash = json!({"$ref": "#/$defs/hash"});
    let address = text("HOST:PORT.", ADDRESS_BYTES_MAX);
    let added = json!({
        "id": id, "name": text("The node's name.", NODE_NAME_BYTES_MAX), "key": hash, "tls_spki_sha256": hash,
        "client_address": address, "peer_address": address,
    });
    let moved = json!({"id": id, "client_address": address, "peer_address": address});
    let every = ["id", "name", "key", "tls_spki_sha256", "client_address", "peer_address"];
    let added = object("A node that is new.", &every, added);
    let moved = object("A node at new addresses.", &["id", "client_address", "peer_address"], moved);
    let list = |items: Map<String, Value>| json!({"type": "array", "maxItems": NODES_MAX, "items": items});
    object(
        "Other nodes, or other voters.",
        &["epoch", "voters"],
        json!({
            "epoch": {"type": "integer", "minimum": 1}, "added": list(added), "moved": list(moved), "removed": ids,
            "voters": ids, "voters_outgoing": ids, "learners": ids,
        }),
    )
}

fn will() -> Map<String, Value> {
    let token =
        |description: &str| json!({"description": description, "type": "string", "maxLength": will::TOKEN_BYTES_MAX});
    let bytes = |description: &str, length: usize| json!({"description": description, "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * length)});
    object(
        "How it is proven that the patient, or who represents them, decided this (docs/formats.md §20).",
        &["token"],
        json!({
            "token": token("The ID token of the login."),
            "userinfo": token("The signed userinfo answer of the same login."),
            "tag_proof": bytes("The VRF proof of the record's tag, where the patient decides.", 80),
            "session_key": bytes("The key of the session (Ed25519).", 32),
            "signature": bytes("Its signature.", 64),
            "blind": bytes("Random, where there is no session.", 16),
        }),
    )
}

fn issuer() -> Map<String, Value> {
    let id = text("See docs/formats.md §20.", ID_BYTES_MAX);
    let claim = text("Names a claim.", TOKEN_BYTES_MAX);
    let list = json!({"type": "array", "maxItems": ISSUER_LIST_MAX, "items": id});
    let audiences = json!({"type": "array", "maxItems": ISSUER_AUDIENCES_MAX, "items": id});
    let ms = json!({"description": "Milliseconds since 1970.", "type": "integer", "minimum": 0});
    let key = json!({
        "kid": text("Its name.", TOKEN_BYTES_MAX), "alg": {"enum": ["ES256", "RS256", "EdDSA"]},
        "key": {"type": "string", "pattern": "^([0-9a-f]{2})+$"}, "exponent": {"type": "integer", "minimum": 0},
    });
    let key = object("A key of the issuer.", &["kid", "alg", "key"], key);
    object(
        "An issuer whose logins prove a will, or, without keys, no longer do.",
        &["issuer", "name"],
        json!({
            "issuer": id, "name": text("As a person reads it.", PARTY_NAME_BYTES_MAX),
            "keys": {"type": "array", "maxItems": ISSUER_KEYS_MAX, "items": key},
            "audiences": audiences, "ins_claim": claim, "oid_claim": claim, "person_claim": claim, "person_system": id,
            "acr_substantial": list, "acr_high": list,
            "session_s": {"type": "integer", "minimum": 0, "maximum": will::SESSION_S_MAX},
            "from_ms": ms, "until_ms": ms, "test": {"type": "boolean"},
        }),
    )
}

fn sources() -> Map<String, Value> {
    let hash = json!({"$ref": "#/$defs/hash"});
    let id = json!({"type": "string", "pattern": "^[a-z0-9._-]{1,64}$"});
    let name = text("As a person reads it.", PARTY_NAME_BYTES_MAX);
    let source = json!({
        "id": id, "name_fr": name, "name_en": name, "structure": text("Whose it is.", VOUCHED_BYTES_MAX),
        "author_id": hash, "answers": hash, "since": {"type": "string", "format": "date-time"},
        "silent_after_s": {"type": "integer", "minimum": SILENT_AFTER_S.start(), "maximum": SILENT_AFTER_S.end()},
    });
    let source = object("A source that should record.", &["id", "name_fr", "structure", "silent_after_s"], source);
    object(
        "Changes of the list of sources.",
        &[],
        json!({
            "listed": {"type": "array", "maxItems": CHANGES_MAX, "items": source},
            "removed": {"type": "array", "maxItems": CHANGES_MAX, "items": id},
        }),
    )
}

fn act() -> Map<String, Value> {
    let hash = json!({"$ref": "#/$defs/hash"});
    let tls = json!({"type": "array", "maxItems": TLS_SPKI_MAX, "items": hash});
    let roles = json!({"type": "array", "items": {"enum": Roles::ALL.names().collect::<Vec<_>>()}});
    let quota = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    let reason = text("Why.", TEXT_BYTES_MAX);
    let name = json!({"type": "string", "minLength": 1, "maxLength": PARTY_NAME_BYTES_MAX});
    let names = |what: Vouched| {
        let name = json!({"type": "string", "minLength": 1, "maxLength": VOUCHED_BYTES_MAX});
        json!({"type": "array", "maxItems": what.max(), "items": name})
    };
    let [structures, actor_systems, issuers] = Vouched::ALL.map(names);
    let lists = json!({"structures": structures, "actor_systems": actor_systems, "issuers": issuers});
    let lists = |about: &str| object(about, &[], lists.clone());
    let vouching = json!({
        "author_id": hash, "added": lists("Whom else it vouches for."),
        "removed": lists("Whom it doesn't vouch for any more."),
    });
    let registered = json!({
        "key": hash, "name": name, "roles": roles, "tls_spki_sha256": tls, "quota_events_per_s": quota,
        "patient_tag": hash, "patient_secret_tag": hash, "patient_commitment": hash,
        "structures": structures, "actor_systems": actor_systems, "issuers": issuers,
    });
    let rotated = json!({"author_id": hash, "key": hash, "tls_spki_sha256": tls});
    let changed = json!({"author_id": hash, "roles": roles, "quota_events_per_s": quota});
    let entry = json!({"type": "integer", "minimum": 0});
    let some = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    let voided = json!({
        "key_id": hash, "author_id": hash, "from_index": entry, "until_index": entry, "reason": reason,
    });
    let reinstated = json!({"act": entry, "reason": reason});
    let authorities = json!({"type": "array", "minItems": 1, "maxItems": AUTHORITIES_MAX, "items": hash});
    let rule =
        json!({"needed": some, "authorities": authorities, "acts": {"type": "integer", "minimum": 3, "maximum": 15}});
    let limit = json!({"author_id": hash, "records": some});
    let mut act = object(
        "Acts of the authority only: exactly one of them, and beside it only `kind` and `occurred_at`.",
        &[],
        json!({
            "registered": object("A new party.", &["key", "name", "roles"], registered),
            "rotated": object("A new key for a party.", &["author_id", "key"], rotated),
            "revoked": object("A key is revoked.", &["key_id"], json!({"key_id": hash, "reason": reason})),
            "actor": object(
                "An actor is permitted nothing any more.",
                &["actor_hash"],
                json!({"actor_hash": hash, "reason": reason}),
            ),
            "roles": object("Other roles for a party.", &["author_id", "roles"], changed),
            "node_set": node_set(),
            "vouching": object("A party vouches for others.", &["author_id"], vouching),
            "issuer": issuer(),
            "voided": object("What a key or a party signed counts no more.", &["from_index", "reason"], voided),
            "reinstated": object("An act that voided counts no longer.", &["act", "reason"], reinstated),
            "rule": object("How many authorities sign what touches many.", &["needed", "authorities", "acts"], rule),
            "sources": sources(),
            "limit": object("How often a day a party takes access away.", &["author_id", "records"], limit),
        }),
    );
    act.extend([("minProperties".to_owned(), json!(1)), ("maxProperties".to_owned(), json!(1))]);
    act
}
