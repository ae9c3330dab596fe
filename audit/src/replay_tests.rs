use sillage_proof::keys::SigningKey;
use sillage_proto::v1::LogEntry;
use sillage_rules::node_set::{NodeSetChange, SetNode};
use sillage_rules::roles::Roles;

use super::*;
use crate::made::{Made, Refile, author, authority, party, stream};
use crate::pipeline::replay_here;

const ANNA: [u8; 32] = [0xa1; 32];
const BRUNO: [u8; 32] = [0xb2; 32];
const CHLOE: [u8; 32] = [0xc3; 32];

/// Genesis; batch 1 (1 to 4); commit (5); batch 2 (6 to 8); the ledger's own (9); commit (10).
fn log() -> Made {
    let mut made = Made::new();
    made.batch(&author(), stream(&author()), 1, &[ANNA, BRUNO, ANNA]);
    made.commit();
    made.now_ms += 10;
    made.batch(&author(), stream(&author()), 2, &[CHLOE, ANNA]);
    made.consulted([0; 32]);
    made.commit();
    made
}

fn replayed(made: &Made) -> Result<Replay, Divergence> {
    let mut replay = Replay::new(made.log());
    let checkpoint = made.checkpoint();
    replay.expect(checkpoint.size.get(), checkpoint.root, "the checkpoint".to_owned())?;
    replay_here(&mut replay, &made.entries)?;
    Ok(replay)
}

/// Where the replay of a changed log stops, and what it says.
fn diverges(change: impl FnOnce(&mut Vec<LogEntry>)) -> Divergence {
    let mut made = log();
    let checkpoint = made.checkpoint();
    change(&mut made.entries);
    let mut replay = Replay::new(made.log());
    replay.expect(checkpoint.size.get(), checkpoint.root, "the checkpoint".to_owned()).expect("still to come");
    replay_here(&mut replay, &made.entries).expect_err("a divergence")
}

/// Changes one entry, as an operator would who knows the layouts.
fn edit(entry: &mut LogEntry, change: impl FnOnce(&mut Entry)) {
    let mut decoded = Entry::decode(&entry.entry).expect("an entry");
    change(&mut decoded);
    entry.entry = decoded.encode();
}

fn record(entry: &mut Entry) -> &mut RecordEntry {
    let Entry::Record(record) = entry else { panic!("a record") };
    record
}

fn header(entry: &mut Entry) -> &mut BatchHeader {
    let Entry::BatchHeader(header) = entry else { panic!("a header") };
    header
}

#[test]
fn an_honest_log_is_replayed_whole() {
    let made = log();
    let mut replay = replayed(&made).expect("clean");
    assert!(replay.is_committed());
    assert_eq!(replay.size(), made.entries.len() as u64);
    assert_eq!(replay.root(), made.checkpoint().root);
}

#[test]
fn a_dropped_entry_is_missed_at_its_place() {
    for at in [1, 2, 5, 6, 9] {
        let found = diverges(|entries| {
            entries.remove(at);
        });
        assert_eq!(found.index, at as u64, "{found}");
    }
    // And when the operator numbers the rest anew, the batch or the index tells.
    let renumber = |entries: &mut Vec<LogEntry>| {
        for (at, entry) in (0..).zip(entries) {
            edit(entry, |entry| match entry {
                Entry::BatchHeader(entry) => entry.index = at.into(),
                Entry::Record(entry) => entry.index = at.into(),
                Entry::IndexCommit(entry) => entry.index = at.into(),
                Entry::LedgerEvent(entry) => entry.index = at.into(),
            });
        }
    };
    let found = diverges(|entries| {
        entries.remove(3);
        renumber(entries);
    });
    assert_eq!(found.index, 3, "position 1 is missing: {found}");
}

#[test]
fn swapped_entries_are_found_at_the_first() {
    assert_eq!(diverges(|entries| entries.swap(2, 3)).index, 2);
    let found = diverges(|entries| {
        // Numbers set right: what was signed stands in another order.
        let (mut a, mut b) = (entries[2].clone(), entries[4].clone());
        let hash = |entry: &LogEntry| match Entry::decode(&entry.entry) {
            Ok(Entry::Record(record)) => record.record_hash,
            _ => panic!("a record"),
        };
        let (of_a, of_b) = (hash(&a), hash(&b));
        edit(&mut a, |entry| record(entry).record_hash = of_b);
        edit(&mut b, |entry| record(entry).record_hash = of_a);
        (entries[2], entries[4]) = (a, b);
    });
    assert_eq!(found.index, 1, "the batch of entry 1 isn't what its author signed: {found}");
}

#[test]
fn an_altered_entry_is_found() {
    let found =
        diverges(|entries| edit(&mut entries[3], |entry| record(entry).record_hash = Hash::from_bytes([8; 32])));
    assert_eq!(found.index, 1, "{found}");
    let found = diverges(|entries| edit(&mut entries[3], |entry| record(entry).tag = CHLOE));
    assert_eq!(found.index, 1, "given to another patient, the batch isn't what its author signed: {found}");
    let found =
        diverges(|entries| edit(&mut entries[9], |entry| record(entry).record_hash = Hash::from_bytes([8; 32])));
    assert_eq!(found.index, 10, "only the checkpoint's root tells: {found}");
    let found = diverges(|entries| edit(&mut entries[3], |entry| record(entry).kind = Kind::INDEX_COMMIT));
    assert_eq!(found.index, 3, "{found}");
    let found = diverges(|entries| entries[7].entry.push(0));
    assert_eq!(found.index, 7, "{found}");
}

/// A log in which the node that admitted the batch of entry 1 made one entry otherwise than its author signed it, and
/// every node took it so: the patient index agrees with it.
fn filed_otherwise(change: Refile) -> Made {
    let mut made = Made::new();
    made.filed = Some((3, change));
    made.batch(&author(), stream(&author()), 1, &[ANNA, BRUNO, ANNA]);
    made.commit();
    made
}

#[test]
fn a_record_filed_under_another_tag_kind_or_flag_is_found() {
    replayed(&filed_otherwise(|_| ())).expect("the truth");
    let changes: [Refile; 5] = [
        |entry| entry.tag = CHLOE,
        |entry| entry.kind = Kind::ACCESS_PRINT,
        |entry| (entry.kind, entry.flags) = (Kind::CONSENT_REVOKED, Flags::NONE),
        |entry| entry.flags = Flags::UNJUSTIFIED,
        |entry| entry.flags = entry.flags | Flags::DEFERRED,
    ];
    for change in changes {
        let found = replayed(&filed_otherwise(change)).expect_err("not as signed");
        assert_eq!(found.index, 1, "the batch isn't what its author signed: {found}");
        assert!(found.found.contains("another tag, kind or flag"), "{found}");
    }
}

#[test]
fn an_entry_left_out_of_the_index_is_found_at_the_commit() {
    let mut made = Made::new();
    made.batch(&author(), stream(&author()), 1, &[ANNA, BRUNO]);
    let mut without = made.clone();
    without.commit();
    made.commit();
    let mut left_out = Made::new();
    left_out.batch(&author(), stream(&author()), 1, &[ANNA]);
    left_out.commit();
    let forged = left_out.entries.last().expect("a commit").clone();
    let last = made.entries.len() - 1;
    made.entries[last] = forged;
    edit(&mut made.entries[last], |entry| {
        let Entry::IndexCommit(commit) = entry else { panic!("a commit") };
        commit.index = (last as u64).into();
    });
    let found = replayed(&made).expect_err("the index lacks Bruno");
    assert_eq!(found.index, last as u64);
    assert!(found.expected.contains("2 patients") && found.found.contains("1 patients"), "{found}");
}

#[test]
fn a_count_that_is_not_that_of_the_records_is_found() {
    // The signature is over the count.
    let found = diverges(|entries| edit(&mut entries[1], |entry| header(entry).count = 2));
    assert_eq!(found.index, 1, "{found}");
    let mut made = Made::new();
    made.batch(&author(), stream(&author()), 1, &[ANNA, BRUNO]);
    made.entries.pop();
    made.commit();
    let found = replayed(&made).expect_err("one record too few");
    assert_eq!(found.index, 3, "{found}");
}

#[test]
fn only_an_active_key_of_an_author_signs() {
    let found = diverges(|entries| edit(&mut entries[6], |entry| header(entry).signature[3] ^= 1));
    assert_eq!(found.index, 6, "{found}");
    let mut made = log();
    let stranger = SigningKey::from_seed(&[77; 32]);
    let at = made.entries.len() as u64;
    made.batch(&stranger, stream(&stranger), 1, &[ANNA]);
    assert_eq!(replayed(&made).expect_err("unknown").index, at);
    let mut made = log();
    made.batch(&authority(), stream(&authority()), 1, &[ANNA]);
    assert_eq!(replayed(&made).expect_err("not an author").index, at + 1);
}

#[test]
fn keys_come_and_go_with_the_acts() {
    let (fresh, newer) = (SigningKey::from_seed(&[31; 32]), SigningKey::from_seed(&[32; 32]));
    let acts = stream(&authority());
    let theirs = stream(&fresh);
    let mut made = log();
    let register = Act::Registered(party(&fresh, "lab", Roles::AUTHOR));
    made.act(&authority(), acts, 1, &register, None);
    made.batch(&fresh, theirs, 1, &[ANNA]);
    let author_id = party(&fresh, "lab", Roles::AUTHOR).author_id();
    let rotate = Act::Rotated { author_id, key: newer.public_key(), tls_spki_sha256: vec![] };
    made.act(&authority(), acts, 2, &rotate, None);
    made.batch(&newer, theirs, 2, &[BRUNO]);
    made.commit();
    replayed(&made).expect("the stream goes on under the new key");
    let at = made.entries.len() as u64;
    let mut old = made.clone();
    old.batch(&fresh, theirs, 3, &[ANNA]);
    assert_eq!(replayed(&old).expect_err("replaced").index, at);
    let revoke = Act::Revoked { key_id: newer.key_id(), reason: "lost".to_owned() };
    made.act(&authority(), acts, 3, &revoke, None);
    made.batch(&newer, theirs, 3, &[ANNA]);
    assert_eq!(replayed(&made).expect_err("revoked").index, at + 2);
    let mut usurped = log();
    usurped.act(&author(), stream(&author()), 3, &register, None);
    assert_eq!(replayed(&usurped).expect_err("not an authority").index, usurped.entries.len() as u64 - 1);
    let mut hidden = log();
    hidden.act(&authority(), acts, 1, &register, None);
    hidden.entries.last_mut().expect("the act").record.clear();
    assert_eq!(replayed(&hidden).expect_err("not shown").index, hidden.entries.len() as u64 - 1);
}

#[test]
fn a_stream_has_no_gap_and_one_owner() {
    for seq in [2, 4] {
        let mut made = log();
        let at = made.entries.len() as u64;
        made.batch(&author(), stream(&author()), seq, &[ANNA]);
        assert_eq!(replayed(&made).expect_err("3 was next").index, at);
    }
    let mut made = log();
    let at = made.entries.len() as u64;
    made.batch(&authority(), stream(&author()), 3, &[ANNA]);
    assert_eq!(replayed(&made).expect_err("another's stream").index, at);
}

#[test]
fn time_never_goes_back() {
    let found = diverges(|entries| edit(&mut entries[9], |entry| record(entry).time.0 -= 11));
    assert_eq!(found.index, 9, "{found}");
}

#[test]
fn flags_are_those_of_the_rules() {
    let found = diverges(|entries| edit(&mut entries[9], |entry| record(entry).flags = Flags::NONE));
    assert_eq!(found.index, 9, "a record of no batch: {found}");
    let found = diverges(|entries| edit(&mut entries[9], |entry| record(entry).kind = Kind::ACCESS_READ));
    assert_eq!(found.index, 9, "not a kind that the ledger makes: {found}");
    let found = diverges(|entries| {
        edit(&mut entries[3], |entry| record(entry).flags = Flags::UNJUSTIFIED | Flags::BASIS);
    });
    assert_eq!(found.index, 3, "it states a basis: {found}");
    let found = diverges(|entries| edit(&mut entries[3], |entry| record(entry).flags = Flags::NONE));
    assert_eq!(found.index, 3, "an access without basis is unjustified: {found}");
    let found = diverges(|entries| {
        edit(&mut entries[3], |entry| record(entry).kind = Kind::CONSENT_REVOKED);
        edit(&mut entries[3], |entry| record(entry).flags = Flags::BASIS | Flags::CLAIMED);
    });
    assert_eq!(found.index, 3, "only of an access or a movement it is looked for: {found}");
    let found = diverges(|entries| edit(&mut entries[3], |entry| record(entry).tag = [0; 32]));
    assert_eq!(found.index, 3, "an access has a patient: {found}");
}

#[test]
fn an_erasure_is_of_earlier_entries_of_a_patient() {
    let erase = |indices: Vec<u64>| {
        let indices = indices.into_iter().map(Into::into).collect();
        let mut made = log();
        made.act(
            &authority(),
            stream(&authority()),
            1,
            &Act::Erased { indices, ground: "ORDER".to_owned() },
            Some(ANNA),
        );
        made.commit();
        replayed(&made).map(|mut replay| replay.take_erased())
    };
    let expected = Erased { act: 12, tag: ANNA, indices: vec![2, 4] };
    assert_eq!(erase(vec![2, 4]).expect("clean"), [expected]);
    assert_eq!(erase(vec![2, 40]).expect_err("not yet there").index, 12);
    assert_eq!(erase(vec![]).expect("the whole patient"), []);
}

#[test]
fn a_new_signing_key_signs_one_index_commit_later() {
    let mut made = log();
    let new = SigningKey::from_seed(&[41; 32]);
    made.act(&authority(), stream(&authority()), 1, &Act::LogKeyRotated { key: new.public_key() }, None);
    made.commit();
    let first = replayed(&made).expect("clean").trust().expect("keys");
    made.consulted([0; 32]);
    made.commit();
    let replay = replayed(&made).expect("clean");
    let second = replay.trust().expect("keys");
    assert_ne!(first.log, second.log);
    assert_eq!(second.log.public_key(), &new.public_key());
    assert_eq!((first.nodes().len(), replay.log_keys().len()), (3, 2));
}

fn new_node(id: u8) -> SetNode {
    SetNode {
        id: id.into(),
        name: format!("node-{id}"),
        key: SigningKey::from_seed(&[10 + id; 32]).public_key(),
        tls_spki_sha256: [10 + id; 32],
        client_address: format!("node-{id}.example:7400"),
        peer_address: format!("node-{id}.example:7500"),
    }
}

#[test]
fn a_new_set_of_nodes_counts_one_index_commit_later() {
    let mut made = log();
    let counting = |made: &Made| {
        let trust = replayed(made).expect("clean").trust().expect("keys");
        trust.nodes().iter().map(|(id, _)| *id).collect::<Vec<_>>()
    };
    let set = replayed(&made).expect("clean").trust().expect("keys").set().clone();
    let added = set.adding(new_node(4)).expect("a change that fits");
    let set = set.after(&added).expect("checked");
    made.act(&authority(), stream(&authority()), 1, &Act::NodeSetChanged(added), None);
    made.commit();
    let voting = set.with_voters(&[1, 2, 3, 4], &[]).expect("a change that fits");
    made.act(&authority(), stream(&authority()), 2, &Act::NodeSetChanged(voting), None);
    made.commit();
    assert_eq!(counting(&made), [1, 2, 3], "the set before proves it");
    made.consulted([0; 32]);
    made.commit();
    assert_eq!(counting(&made), [1, 2, 3, 4]);
}

#[test]
fn a_set_of_nodes_that_the_ledger_had_to_refuse_is_a_divergence() {
    let set = || replayed(&log()).expect("clean").trust().expect("keys").set().clone();
    let good = || set().adding(new_node(4)).expect("a change that fits");
    let found = |signer: &SigningKey, seq: u64, change: NodeSetChange| {
        let mut made = log();
        made.act(signer, stream(signer), seq, &Act::NodeSetChanged(change), None);
        let mut replay = Replay::new(made.log());
        replay_here(&mut replay, &made.entries).expect_err("a divergence").to_string()
    };
    let next = |key: &SigningKey| {
        let registry = replayed(&log()).expect("clean").registry;
        registry.streams.get(&stream(key)).map_or(1, |stream| stream.last_seq + 1)
    };
    let (author_next, authority_next) = (next(&author()), next(&authority()));
    assert!(found(&author(), author_next, good()).contains("isn't an authority"));
    let skipped = NodeSetChange { epoch: 2, ..good() };
    assert!(found(&authority(), authority_next, skipped).contains("so the next has 1"));
    let mut used = good();
    used.added[0].key = author().public_key();
    assert!(found(&authority(), authority_next, used).contains("used before"));
}

#[test]
fn a_trusted_checkpoint_must_have_its_root_on_the_way() {
    let made = log();
    let mut half = log();
    half.entries.truncate(6);
    let trusted = half.checkpoint();
    let with = |root: Hash| {
        let mut replay = Replay::new(made.log());
        replay.expect(trusted.size.get(), root, "yours".to_owned()).expect("still to come");
        replay_here(&mut replay, &made.entries)
    };
    with(trusted.root).expect("the same history");
    assert_eq!(with(Hash::from_bytes([3; 32])).expect_err("another history").index, 5);
}

#[test]
fn nothing_follows_the_end_but_an_index_commit_and_nothing_precedes_the_genesis() {
    let mut made = log();
    let mut other = made.log();
    other.bytes.push(0);
    let mut replay = Replay::new(other);
    assert_eq!(replay_here(&mut replay, &made.entries).expect_err("another log").index, 0);
    made.entries.remove(0);
    let mut replay = Replay::new(made.log());
    assert_eq!(replay_here(&mut replay, &made.entries).expect_err("no genesis").index, 0);
    let mut cut = log();
    cut.entries.truncate(8);
    let mut replay = Replay::new(cut.log());
    assert_eq!(replay_here(&mut replay, &cut.entries).expect_err("cut short").index, 8);
}

/// The log of [`log`], then a decision on Anna (11), a reading of Bruno's trace (12), commit (13).
fn with_own_entries() -> Made {
    let mut made = log();
    made.decided(ANNA);
    made.consulted(BRUNO);
    made.commit();
    made
}

#[test]
fn what_the_ledger_puts_into_a_trace_counts_in_the_index() {
    replayed(&with_own_entries()).expect("clean");
    let wrong = |at: usize, change: fn(&mut RecordEntry)| {
        let mut made = with_own_entries();
        edit(&mut made.entries[at], |entry| change(record(entry)));
        let mut replay = Replay::new(made.log());
        replay_here(&mut replay, &made.entries).expect_err("a divergence").index
    };
    // Filed in another trace, an entry is missing from its own: the root of the index commit tells.
    assert_eq!(wrong(11, |entry| entry.tag = BRUNO), 13);
    assert_eq!(wrong(12, |entry| entry.tag = ANNA), 13);
    assert_eq!(wrong(12, |entry| entry.tag = [0; 32]), 13);
    // A decision is about someone, has no place in a batch, and is nobody's but the ledger's.
    assert_eq!(wrong(11, |entry| entry.tag = [0; 32]), 11);
    assert_eq!(wrong(11, |entry| entry.position = 1), 11);
    assert_eq!(wrong(11, |entry| entry.flags = Flags::LEDGER | Flags::LATE), 11);
    assert_eq!(wrong(11, |entry| entry.flags = Flags::NONE), 11);
    assert_eq!(wrong(11, |entry| entry.kind = Kind::CONSENT_DIRECTIVE), 11);
}

#[test]
fn a_device_that_its_patient_was_not_told_of_is_found() {
    let device = SigningKey::from_seed(&[61; 32]);
    let of = |tag: Option<[u8; 32]>| {
        let mut made = Made::new();
        let sealed = PartyRegistration {
            roles: Roles::PATIENT,
            patient_commitment: Some(Hash::from_bytes([9; 32])),
            ..party(&device, "Claire", Roles::PATIENT)
        };
        made.act(&authority(), stream(&authority()), 1, &Act::Registered(sealed), None);
        if let Some(tag) = tag {
            made.sealed(&authority(), stream(&authority()), 2, (Kind::DEVICE_REGISTERED, tag));
        }
        made.sealed(&device, stream(&device), 1, (Kind::ITEM_MASKED, ANNA));
        made.commit();
        replayed(&made)
    };
    assert!(of(Some(ANNA)).is_ok());
    for untold in [None, Some(BRUNO)] {
        let found = of(untold).expect_err("nobody told Anna");
        assert!(found.found.contains("who hasn't it"), "{found:?}");
    }
}
