//! The check that this node's keyring is the group's: compared by fingerprints with every node that it meets.
//!
//! Apply reads payloads under keys that stand in a local file. A node with other keys refuses what the others
//! accept, or is alone in accepting it; so a node takes no part before it has compared its keys with a majority, and stops
//! taking part when they differ, unless a majority agrees with it: then the other one stops.
//!
//! The same is asked when a command brings a data key that can't be unwrapped here. If a majority holds this node's key, the
//! data key is at fault and every node refuses it; else this node's key is, and the process ends rather than refuse alone.
//! A node that lies about its own keys can neither stop the others nor have a refusal of theirs taken for a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sillage_ledger::seal::{Fingerprints, KekError, KekFile, KekProvider, Sealer, TagPrefix};
use sillage_ledger::{LedgerReader, ReadError, Refusal};
use sillage_proto::internal::v1::{KeyringRequest, KeyringResponse};
use sillage_rules::node_set::majority;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Core;
use super::condition::alarms::{Alarm, Alarms};
use crate::refusals::unavailable;

/// In the data folder: fingerprints of the keys that this node had, never a key.
pub const RECORD: &str = "KEYRING";
/// For one call to a peer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two calls to a peer that hasn't answered yet.
const RETRY: Duration = Duration::from_millis(100);
/// Between two comparisons with a peer.
const AGAIN: Duration = Duration::from_secs(5);
/// How long applying waits for the other nodes, when it hangs on them.
const JUDGE_WAIT: Duration = Duration::from_secs(10);
/// Prefixes that are named; of more, the number is.
const NAMED_MAX: usize = 8;

/// An answer of another node about its keyring.
struct Met {
    /// Its fingerprints; `None` from a program of before, which can't tell and is taken to agree.
    held: Option<Arc<Fingerprints>>,
    /// Prefixes of which it holds another key than this node.
    differing: BTreeSet<TagPrefix>,
    /// The number of the question that it answered.
    as_of: u64,
}

/// See the module.
pub struct Keyrings {
    own: u64,
    /// Ids of the nodes that vote, this one too.
    group: Mutex<Vec<u64>>,
    file: Arc<KekFile>,
    /// Says which epochs are in use.
    ledger: Mutex<Option<LedgerReader>>,
    met: Mutex<BTreeMap<u64, Met>>,
    answered: Condvar,
    /// Rises when an answer is wanted now.
    asked: watch::Sender<u64>,
    takes_part: AtomicBool,
    /// Where these keys go on record once a majority is known to hold them; `None` when they are.
    unrecorded: Mutex<Option<PathBuf>>,
    alarms: Alarms,
}

/// How a key, or a whole keyring, stands among the nodes.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// A majority holds the same.
    Groups,
    /// A majority can't hold the same any more.
    Differs,
    /// Too few have answered.
    Unknown,
}

impl Keyrings {
    /// Of node `own` in a group, none of which was met yet.
    pub fn new(own: u64, group: Vec<u64>, file: Arc<KekFile>, alarms: Alarms) -> Self {
        let takes_part = AtomicBool::new(majority(group.len()) <= 1);
        let (met, answered, asked) = (Mutex::default(), Condvar::new(), watch::Sender::new(0));
        let (ledger, unrecorded) = (Mutex::default(), Mutex::default());
        let group = Mutex::new(group);
        Self { own, group, file, ledger, met, answered, asked, takes_part, unrecorded, alarms }
    }

    /// From now on the keyring asks here whether a key is the group's, as long as this node is there.
    pub fn judge_file(self: &Arc<Self>) {
        let own = Arc::downgrade(self);
        self.file.judged_by(Box::new(move |kek| match own.upgrade() {
            Some(own) => own.wait_for_standing(kek, JUDGE_WAIT),
            // Nothing may be refused alone.
            None => Err(KekError::Service("this node is stopping".to_owned())),
        }));
    }

    fn group(&self) -> Vec<u64> {
        self.group.lock().clone()
    }

    /// The nodes that vote from now on.
    pub fn set_group(&self, group: Vec<u64>) {
        *self.group.lock() = group;
        self.judge(&self.met.lock());
    }

    /// Follows the epochs of a ledger; called once. `unrecorded`: where the keys go on record as soon as a majority is known
    /// to hold them. Not before: a node that was given another log's keyring must take the right one afterwards.
    pub fn follow(&self, ledger: LedgerReader, unrecorded: Option<PathBuf>) {
        let before = self.ledger.lock().replace(ledger);
        assert!(before.is_none(), "a keyring is of one ledger");
        *self.unrecorded.lock() = unrecorded;
        self.go_on_record();
    }

    /// Lets go of the ledger, which holds this keyring: or else neither would ever be closed.
    pub fn let_go(&self) {
        self.ledger.lock().take();
    }

    fn go_on_record(&self) {
        let mut unrecorded = self.unrecorded.lock();
        if !self.takes_part() {
            return;
        }
        if let Some(record) = unrecorded.take()
            && let Err(error) = self.file.keep_record(&record)
        {
            tracing::error!(%error, "the keyring's fingerprints don't go on record");
            *unrecorded = Some(record);
        }
    }

    /// The oldest and the newest epoch that the log has put to use, of each prefix. `None` where the ledger can't be read:
    /// then nothing can be said of another node's keys.
    fn announced(&self) -> Option<impl Fn(TagPrefix) -> [u32; 2] + use<>> {
        let changed = self.ledger.lock().as_ref().map(LedgerReader::changed_keks).transpose();
        let changed = changed.inspect_err(|error| tracing::error!(%error, "keys can't be compared")).ok()?;
        let changed: BTreeMap<_, _> = changed.unwrap_or_default().into_iter().collect();
        Some(move |prefix| changed.get(&prefix).map_or([1, 1], |epochs| [epochs.retired + 1, epochs.current]))
    }

    /// Tells whether this node may take part, as far as its keys go.
    pub fn takes_part(&self) -> bool {
        self.takes_part.load(Ordering::Acquire)
    }

    /// Refuses what would be sealed or decided under keys that aren't the group's.
    ///
    /// # Errors
    /// `UNAVAILABLE` while they differ: another node may do it.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.alarms.is_raised(Alarm::KeyringDiffers) {
            false => Ok(()),
            true => Err(unavailable("this node's keyring isn't the group's: use another node")),
        }
    }

    /// The answer to a node that shows the digest of its own keys.
    pub fn compared_with(&self, digest: &[u8]) -> KeyringResponse {
        let held = self.file.fingerprints();
        match held.digest() == digest {
            true => KeyringResponse { same: true, entries: Vec::new() },
            false => KeyringResponse { same: false, entries: held.encode() },
        }
    }

    /// Takes note of what a node answered to question `as_of`.
    fn meet(&self, peer: u64, held: Option<Arc<Fingerprints>>, as_of: u64) {
        let own = self.file.fingerprints();
        // They meet again.
        let Some(announced) = self.announced() else { return };
        let differing = held.as_ref().map(|held| own.differing(held, announced)).unwrap_or_default();
        let mut met = self.met.lock();
        if !differing.is_empty() && met.get(&peer).is_none_or(|before| before.differing.is_empty()) {
            tracing::error!(peer, prefixes = differing.len(), "a node holds other key-encryption keys");
        }
        met.insert(peer, Met { held, differing, as_of });
        self.judge(&met);
        self.answered.notify_all();
        drop(met);
        self.go_on_record();
    }

    /// Tells whether this node takes part.
    fn judge(&self, met: &BTreeMap<u64, Met>) {
        let group = self.group();
        let majority = majority(group.len());
        let others = || group.iter().filter(|id| **id != self.own).filter_map(|id| Some((*id, met.get(id)?)));
        let differ: Vec<_> = others().filter(|(_, met)| !met.differing.is_empty()).collect();
        let heard = 1 + others().count();
        let stops = !differ.is_empty() && heard - differ.len() < majority;
        self.takes_part.store(!stops && heard >= majority, Ordering::Release);
        let found = stops.then(|| {
            let prefixes = differ.iter().flat_map(|(_, met)| met.differing.iter().copied()).collect();
            let nodes: Vec<String> = differ.iter().map(|(id, _)| id.to_string()).collect();
            format!("its keys of {} differ from those of node {}", named(&prefixes), nodes.join(", "))
        });
        self.alarms.set(Alarm::KeyringDiffers, found);
    }

    /// How one of this node's keys stands. `since`: only answers from this question on can say that it differs.
    fn standing(&self, (prefix, epoch): (TagPrefix, u32), since: u64, met: &BTreeMap<u64, Met>) -> Standing {
        let own = self.file.fingerprints();
        let group = self.group();
        let majority = majority(group.len());
        let (mut agree, mut differ, mut silent) = (1, 0, 0);
        for peer in group.iter().filter(|id| **id != self.own) {
            let Some(met) = met.get(peer) else {
                silent += 1;
                continue;
            };
            let theirs = met.held.as_ref().map(|held| held.get(prefix, epoch));
            match theirs {
                // A program of before.
                None => agree += 1,
                // A key never changes while a node runs, so an old answer is as good as a new one.
                Some(Some(theirs)) if own.get(prefix, epoch) == Some(theirs) => agree += 1,
                Some(Some(_)) if met.as_of >= since => differ += 1,
                _ => silent += 1,
            }
        }
        match (agree >= majority, agree + silent < majority || (differ > 0 && silent == 0)) {
            (true, _) => Standing::Groups,
            (false, true) => Standing::Differs,
            (false, false) => Standing::Unknown,
        }
    }

    fn wait_for_standing(&self, kek: (TagPrefix, u32), wait: Duration) -> Result<(), KekError> {
        let (prefix, epoch) = (kek.0.get(), kek.1);
        let mut met = self.met.lock();
        if self.standing(kek, u64::MAX, &met) == Standing::Groups {
            return Ok(());
        }
        let mut since = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            since = *asked;
        });
        tracing::warn!(prefix, epoch, "a data key can't be unwrapped here: comparing keys with the other nodes");
        let until = Instant::now() + wait;
        loop {
            match self.standing(kek, since, &met) {
                Standing::Groups => return Ok(()),
                Standing::Differs => return Err(KekError::Differs { prefix, epoch }),
                Standing::Unknown => {}
            }
            if self.answered.wait_until(&mut met, until).timed_out() {
                let what =
                    "a data key can't be unwrapped, and too few nodes answer to tell whose fault it is: start them";
                return Err(KekError::Service(what.to_owned()));
            }
        }
    }
}

/// `3 prefixes (0x001, 0x002, 0x003)`.
fn named(prefixes: &BTreeSet<TagPrefix>) -> String {
    let mut names: Vec<String> =
        prefixes.iter().take(NAMED_MAX).map(|prefix| format!("{:#05x}", prefix.get())).collect();
    if prefixes.len() > NAMED_MAX {
        names.push("...".to_owned());
    }
    format!("{} prefixes ({})", prefixes.len(), names.join(", "))
}

/// Compares keyrings with a peer until the node is gone: at once, again now and then, and whenever applying hangs on it.
pub(super) async fn meet(core: Weak<Core>, peer: u64) {
    let Some(mut asked) = core.upgrade().map(|core| core.keyrings.asked.subscribe()) else {
        return;
    };
    loop {
        let Some(core) = core.upgrade() else { return };
        let Some(mut client) = core.links.get(peer).map(|link| link.calls.clone()) else { return };
        let as_of = *asked.borrow_and_update();
        let own = core.keyrings.file.fingerprints();
        let request = KeyringRequest { digest: own.digest().to_vec() };
        let answer = match timeout(CALL_TIMEOUT, client.keyring(request)).await {
            Ok(Ok(answer)) => held_by(answer.into_inner(), &own).map(Some),
            Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => Some(None),
            Ok(Err(_)) | Err(_) => None,
        };
        let pause = if answer.is_some() { AGAIN } else { RETRY };
        if let Some(held) = answer {
            core.keyrings.meet(peer, held, as_of);
        }
        drop(core);
        // Woken by a question, or by time; the question is gone when the node is.
        let _ = timeout(pause, asked.changed()).await;
    }
}

/// The fingerprints that a peer holds; `None` where its answer can't be understood.
fn held_by(answer: KeyringResponse, own: &Arc<Fingerprints>) -> Option<Arc<Fingerprints>> {
    match answer.same {
        true => Some(Arc::clone(own)),
        false => Fingerprints::decode(&answer.entries).map(Arc::new),
    }
}

/// Tells whether a keyring unwraps any of the ledger's data keys, a look at one of each prefix; `true` where there is none.
///
/// # Errors
/// When the ledger can't be read.
pub fn opens_some(reader: &LedgerReader, keks: &Arc<KekFile>) -> Result<bool, ReadError> {
    let sealer = Sealer::new(reader.clone(), Arc::clone(keks) as Arc<dyn KekProvider>, 1);
    let mut tried = false;
    for prefix in (0..TagPrefix::COUNT).filter_map(TagPrefix::new) {
        for (name, wrapped) in reader.data_keys_of(prefix, None, 1)? {
            if sealer.check_wrapped(&name, &wrapped).is_ok() {
                return Ok(true);
            }
            tried = true;
        }
    }
    Ok(!tried)
}

#[cfg(test)]
mod tests {
    use sillage_ledger::seal::Keyring;

    use super::*;
    use crate::metrics::Metrics;

    fn file(dir: &std::path::Path, name: &str, keyring: &Keyring) -> Arc<KekFile> {
        let path = dir.join(name);
        keyring.save(&path).expect("writable");
        Arc::new(KekFile::open(&path).expect("just made"))
    }

    /// Three nodes: one and two hold the group's keyring, three another log's.
    struct Group {
        dir: tempfile::TempDir,
        files: [Arc<KekFile>; 3],
    }

    impl Group {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let [groups, foreign] = [(); 2].map(|()| Keyring::generate().expect("randomness"));
            let files =
                [file(dir.path(), "1", &groups), file(dir.path(), "2", &groups), file(dir.path(), "3", &foreign)];
            Self { dir, files }
        }

        fn node(&self, id: u64) -> Keyrings {
            let file = Arc::clone(self.file(id));
            Keyrings::new(id, vec![1, 2, 3], file, Alarms::new(Metrics::new(id)))
        }

        fn file(&self, id: u64) -> &Arc<KekFile> {
            &self.files[usize::try_from(id).expect("small") - 1]
        }

        /// `node` hears from `peer`.
        fn hear(&self, node: &Keyrings, peer: u64) {
            let as_of = *node.asked.borrow();
            node.meet(peer, Some(self.file(peer).fingerprints()), as_of);
        }
    }

    fn kek() -> (TagPrefix, u32) {
        (TagPrefix::new(7).expect("below 4,096"), 1)
    }

    #[test]
    fn the_minority_stops_and_the_majority_goes_on() {
        let group = Group::new();
        let (first, third) = (group.node(1), group.node(3));
        assert!(!first.takes_part() && first.check().is_ok(), "before it has met anyone");
        group.hear(&first, 2);
        assert!(first.takes_part());
        group.hear(&first, 3);
        assert!(first.takes_part() && first.alarms.raised().is_empty(), "a majority agrees with it");
        group.hear(&third, 1);
        group.hear(&third, 2);
        assert!(!third.takes_part() && third.check().is_err());
        let raised = third.alarms.raised();
        let what = &raised[0].what;
        assert!(what.contains("4096 prefixes (0x000, 0x001,") && what.ends_with("node 1, 2"), "{what}");
    }

    #[test]
    fn two_that_differ_wait_for_the_third_and_go_on_with_it() {
        let group = Group::new();
        let first = group.node(1);
        group.hear(&first, 3);
        assert!(!first.takes_part() && first.alarms.is_raised(Alarm::KeyringDiffers), "nobody can tell who is right");
        group.hear(&first, 2);
        assert!(first.takes_part() && !first.alarms.is_raised(Alarm::KeyringDiffers));
    }

    #[test]
    fn a_node_of_before_is_taken_to_agree() {
        let group = Group::new();
        let third = group.node(3);
        third.meet(1, None, 0);
        assert!(third.takes_part());
        assert_eq!(third.wait_for_standing(kek(), Duration::ZERO), Ok(()));
    }

    #[test]
    fn what_a_majority_cannot_unwrap_is_refused_and_what_this_node_alone_cannot_is_fatal() {
        let group = Group::new();
        let (first, third) = (group.node(1), group.node(3));
        group.hear(&first, 2);
        assert_eq!(first.wait_for_standing(kek(), Duration::ZERO), Ok(()), "nothing new has to be asked");
        group.hear(&third, 1);
        group.hear(&third, 2);
        // Old answers can't say that it differs: the nodes are asked, and answer meanwhile.
        let waited = std::thread::scope(|scope| {
            let judged = scope.spawn(|| third.wait_for_standing(kek(), Duration::from_secs(20)));
            while *third.asked.borrow() == 0 {
                std::thread::yield_now();
            }
            group.hear(&third, 1);
            group.hear(&third, 2);
            judged.join().expect("no panic")
        });
        assert_eq!(waited, Err(KekError::Differs { prefix: 7, epoch: 1 }));
    }

    #[test]
    fn when_nobody_answers_nobody_is_right() {
        let group = Group::new();
        let waited = group.node(1).wait_for_standing(kek(), Duration::from_millis(20));
        assert!(matches!(waited, Err(KekError::Service(_))), "{waited:?}");
        let alone = Keyrings::new(1, vec![1], Arc::clone(group.file(1)), Alarms::new(Metrics::new(1)));
        assert!(alone.takes_part());
        assert_eq!(alone.wait_for_standing(kek(), Duration::ZERO), Ok(()));
    }

    #[test]
    fn keys_go_on_record_when_a_majority_holds_them_and_not_before() {
        let group = Group::new();
        let goes_on_record = |node: &Keyrings, name: &str, peers: [u64; 2]| {
            let record = group.dir.path().join(name);
            *node.unrecorded.lock() = Some(record.clone());
            node.go_on_record();
            assert!(!record.exists(), "it has met nobody");
            peers.iter().for_each(|peer| group.hear(node, *peer));
            record.exists()
        };
        assert!(goes_on_record(&group.node(1), "ours", [3, 2]));
        assert!(!goes_on_record(&group.node(3), "theirs", [1, 2]), "the right keyring may still come");
    }

    #[test]
    fn an_answer_says_the_same_or_shows_fingerprints() {
        let group = Group::new();
        let (first, third) = (group.node(1), group.node(3));
        let own = group.file(2).fingerprints();
        let same = first.compared_with(&own.digest());
        assert_eq!(held_by(same, &own).as_deref(), Some(&*own));
        let other = third.compared_with(&own.digest());
        assert_eq!(held_by(other, &own).as_deref(), Some(&*group.file(3).fingerprints()));
        assert_eq!(held_by(KeyringResponse { same: false, entries: vec![1] }, &own), None);
    }
}
