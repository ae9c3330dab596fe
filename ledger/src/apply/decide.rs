//! Requests are decided here, in the order of the log: after a revocation is recorded, nothing permits on the old
//! consent.
//!
//! A requester signs one or more requests; they travel sealed under data keys of their patients, each with a seed. A
//! decision is recorded under the open tag; where items under the secret tag are asked for, another one follows under
//! the secret tag, and the first reads as if those items weren't there: where nothing else was asked for, there is none. Salts
//! and nonces come from the seed and the index of the decision's entry, so every node seals the same bytes, and nobody else
//! can.

use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize, leaf_hash, sha256};
use sillage_proof::keys::{ALG_ED25519, KeyId, SIGNATURE_LEN, StreamId};
use sillage_proof::vrf::VrfPublicKey;
use sillage_proto::internal::v1::SealedDecision;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::{ActorKind, Event, Meta, PatientState};
use sillage_rules::decide::message::{AUTHORIZE_REQUESTS_MAX, AuthorizeMessage};
use sillage_rules::decide::pairing::PAIRING_BYTES_MAX;
use sillage_rules::decide::record::{DECISION_BYTES_MAX, DecisionRecord, Moment, SignedRequest, WhichTag};
use sillage_rules::decide::{
    Decision, ItemDecision, ItemFacts, ParsedRequest, Reason, Request, TagPairing, check_contradictions, decide,
    is_secret,
};
use sillage_rules::entry::{Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::{RECORD_BYTES_MAX, SALT_BYTES};
use sillage_rules::roles::Roles;
use zeroize::Zeroizing;

use super::asker::AskerProof;
use super::check::{self, Signer};
use super::decided::{Decided, MadeDecision};
use super::feature::{CLAIMS, DOORS};
use super::rule::with_env;
use super::{Applier, CommandOutcome, vouching, will};
use crate::consent::caches::Caches;
use crate::consent::{Rules, opened};
use crate::envelope::vault::VaultError;
use crate::envelope::{Place, layout};
use crate::error::{Fatal, ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::levels::Levels;
use crate::overlay::Overlay;
use crate::rows::KeyState;
use crate::schema::{self, DataKeyName, Family, NO_PATIENT, TAG_LEN, TagPrefix};
use crate::shared::Shared;
use crate::store::Store;
use crate::verified::Verified;

type Tag = [u8; TAG_LEN];

/// Length of the seed before a sealed request.
pub(crate) const SEED_LEN: usize = 32;
/// Largest sealed request.
const SEALED_BYTES_MAX: usize = RECORD_BYTES_MAX + SEED_LEN + 2 + PAIRING_BYTES_MAX + layout::OVERHEAD;

/// Requests of one requester, opened, and under one signature.
struct SignedRequests<'d> {
    sealed: &'d SealedDecision,
    /// Where what was verified is remembered.
    verify: Option<&'d Verified>,
    signer: Signer,
    key_id: KeyId,
    signature: [u8; SIGNATURE_LEN],
    requests: Vec<OpenedRequest>,
    paths: Levels,
    new_keys: Vec<(DataKeyName, &'d [u8])>,
}

/// One request.
struct OpenedRequest {
    tag: Tag,
    /// The data key that it is sealed under; the decision will be, too.
    key: [u8; 16],
    /// The seed, the length of what proves its two tags, that, and the request.
    plain: Zeroizing<Vec<u8>>,
    /// Where the request begins.
    request_at: usize,
}

impl OpenedRequest {
    fn new(tag: Tag, key: [u8; 16], plain: Zeroizing<Vec<u8>>) -> Option<Self> {
        let (len, rest) = plain.get(SEED_LEN..)?.split_first_chunk::<2>()?;
        let pairing = usize::from(u16::from_be_bytes(*len));
        let request_at = SEED_LEN + 2 + pairing;
        (pairing < rest.len()).then_some(Self { tag, key, plain, request_at })
    }

    fn seed(&self) -> &[u8] {
        &self.plain[..SEED_LEN]
    }

    /// The proof of the patient's two tags; empty where nothing came.
    fn pairing(&self) -> &[u8] {
        &self.plain[SEED_LEN + 2..self.request_at]
    }

    fn request(&self) -> &[u8] {
        &self.plain[self.request_at..]
    }
}

/// The outcome of a request, before anything of it is recorded.
enum Verdict {
    /// It was decided before.
    Again(Decided),
    /// A decision that is to be put on record.
    New(Box<New>),
}

struct New {
    request: ParsedRequest,
    /// Under which name its decisions are found again.
    name: Vec<u8>,
    open: Option<Decision>,
    secret: Option<(Tag, Decision)>,
    valid_s: u64,
    asker: Option<v1::DecisionAsker>,
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::MalformedRequest, what)
}

fn coded(code: Code) -> Refusal {
    Refusal::new(code, code.way_out())
}

impl<'d> SignedRequests<'d> {
    /// Opens all requests of a requester, and checks what concerns them together.
    fn open(
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        genesis: &GenesisInfo,
        verify: Option<&'d Verified>,
        sealed: &'d SealedDecision,
    ) -> Result<Self, Stop> {
        let count = sealed.requests.len();
        if !(1..=AUTHORIZE_REQUESTS_MAX as usize).contains(&count) {
            return Err(malformed("one signature covers 1 to 64 requests").into());
        }
        if sealed.alg != u32::from(ALG_ED25519) {
            return Err(malformed("unknown signature algorithm: use 1 (Ed25519)").into());
        }
        let key_id = KeyId::from_slice(&sealed.key_id).map_err(|_| malformed("a key id is 32 bytes"))?;
        let root = Hash::from_slice(&sealed.root).map_err(|_| malformed("a root is 32 bytes"))?;
        let signature = <[u8; SIGNATURE_LEN]>::try_from(&sealed.signature[..]);
        let signature = signature.map_err(|_| malformed("a signature is 64 bytes"))?;
        let new_keys = check::wrapped_keys(&sealed.new_keys)?;
        if new_keys.len() > 2 * count {
            return Err(malformed("more new data keys than two for each request").into());
        }
        let signer = Signer::of(overlay, &key_id, |_| place_of(root))?;
        if signer.key.state != KeyState::Active {
            return Err(coded(Code::RevokedKey).into());
        }
        if !signer.roles.intersects(Roles::ASKING) {
            let message =
                "the party hasn't the role decider, and only deciders ask for decisions: ask the authority for it";
            return Err(Refusal::new(Code::NotEntitled, message).into());
        }
        check::check_new_keys(overlay, &rules.caches.vault, &new_keys)?;
        let mut requests = Vec::with_capacity(count);
        for (position, request) in (0_u32..).zip(&sealed.requests) {
            let tag = <Tag>::try_from(&request.tag[..]).map_err(|_| malformed("a tag is 32 bytes").at(position))?;
            let key = layout::data_key_id(&request.payload)
                .filter(|_| tag != NO_PATIENT && request.payload.len() <= SEALED_BYTES_MAX);
            let key = key.ok_or_else(|| malformed("a request isn't sealed under its patient's tag").at(position))?;
            let place = Place { tag, stream_id: place_of(root), seq: 0, position };
            let new = |id: &[u8; 16]| {
                new_keys.iter().find(|(name, _)| *name == (tag, *id)).map(|(_, wrapped)| wrapped.to_vec())
            };
            let plain = opened(overlay, rules.caches, &place, &request.payload, new);
            let plain = plain.map_err(|stop| stop.at(position))?;
            let opened = OpenedRequest::new(tag, key, plain);
            requests.push(opened.ok_or_else(|| malformed("what is sealed is no seed and request").at(position))?);
        }
        let paths = Levels::over(requests.iter().map(|request| leaf_hash(request.request())).collect());
        if paths.root() != root {
            return Err(Refusal::new(Code::RootMismatch, "the requests don't hash to the root that was signed").into());
        }
        let asked = Self { sealed, verify, signer, key_id, signature, requests, paths, new_keys };
        if let Some(verified) = verify {
            asked.signer.verify_request(genesis, sealed, verified)?;
        }
        Ok(asked)
    }

    /// Decides on one request, and changes nothing.
    fn verdict(
        &self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        genesis: &GenesisInfo,
        time: LedgerTimeMs,
        position: usize,
    ) -> Result<Verdict, Stop> {
        let opened = &self.requests[position];
        let request = ParsedRequest::parse(opened.request())?;
        if *request.tag() != opened.tag {
            return Err(malformed("a request is about another patient than it is sealed for").into());
        }
        will::check_known(overlay, &request)?;
        request.check_time(time.get())?;
        rules.check_spelling(&request)?;
        let name = request_key(&request, &self.signer);
        if let Some(before) = decided_before(overlay, rules, &name)? {
            return Ok(Verdict::Again(before));
        }
        let (tag, secret_tag) = (request.tag(), request.secret_tag());
        if ![Some(tag), secret_tag].into_iter().flatten().all(|tag| genesis.covers(tag)) {
            return Err(coded(Code::TagOutOfRange).into());
        }
        let own_device = self.is_patients_own(overlay, rules, &request)?;
        vouching::check_request(overlay, &self.signer, &request, own_device)?;
        self.check_tags(overlay, genesis, &request, opened.pairing())?;
        let log = (genesis, &*rules.caches.verified);
        let standing = AskerProof::of(overlay, log, (&self.signer, &self.key_id, own_device), &request, time)?;
        let items = item_facts(overlay, rules, &request)?;
        let documents = rules.documents(overlay)?;
        rules.state(overlay, tag)?;
        if let Some(secret_tag) = secret_tag {
            rules.state(overlay, secret_tag)?;
        }
        let (state, secret) = (rules.folded_state(tag), secret_tag.map(|tag| rules.folded_state(tag)));
        let patient_key = if rules.has_reached(CLAIMS) { own_device } else { self.signer.is_patient(tag) };
        let authenticated = state.check_authentication(request.actor(), time, patient_key, standing.authenticated);
        authenticated.map_err(|refusal| will::or_no_issuer(overlay, genesis, refusal.into()))?;
        let asked = Request {
            actor: request.actor().clone(),
            action: request.action(),
            purpose: request.purpose().to_owned(),
            at: time,
            items,
            word_of: standing.word_of,
        };
        let decision = with_env(overlay, &documents, |env| decide(env, state, secret, &asked))?;
        check_contradictions(&decision)?;
        let across_servers = rules.has_reached(DOORS);
        let kept_apart = |item: &ItemFacts| secret_tag.is_some() && is_secret(item, state, secret, across_servers);
        let (open, second) = split(decision, &asked.items, kept_apart);
        let secret = second.zip(secret_tag).map(|(decision, tag)| (*tag, decision));
        let valid_s = documents.policy.decision_valid_s;
        let asker = standing.asker;
        Ok(Verdict::New(Box::new(New { request, name, open, secret, valid_s, asker })))
    }

    /// Tells whether the patient asks, by a device of their own: of each tag that the request names, for their trace tells of it there.
    fn is_patients_own(
        &self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        request: &ParsedRequest,
    ) -> Result<bool, Stop> {
        let (signer, tag) = (&self.signer, request.tag());
        if request.actor().kind != ActorKind::Patient {
            return Ok(false);
        }
        for tag in [Some(tag), request.secret_tag()].into_iter().flatten() {
            let is_own =
                signer.is_patient(tag) || signer.is_sealed_device() && signer.is_device_of(rules.state(overlay, tag)?);
            if !is_own {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A request's tags are one patient's: on record as such, or proven by what came with it.
    fn check_tags(
        &self,
        overlay: &Overlay<'_>,
        genesis: &GenesisInfo,
        request: &ParsedRequest,
        pairing: &[u8],
    ) -> Result<(), Stop> {
        let open = request.tag();
        let Some(secret) = request.secret_tag() else {
            // What a minor keeps is decided by what stands under the secret tag.
            return match overlay.open_of(open)?.or(overlay.secret_of(open)?) {
                None => Ok(()),
                Some(_) => Err(malformed("the patient has two tags: resolve the patient, and name both").into()),
            };
        };
        if overlay.is_proven(open, secret)? {
            return Ok(());
        }
        if pairing.is_empty() {
            let what = "nothing proves that the two tags are one patient's: send what resolving the patient gave";
            return Err(malformed(what).into());
        }
        let pairing = TagPairing::parse(pairing)?;
        let prove = || {
            let key = VrfPublicKey::from_bytes(&genesis.vrf_public_key);
            key.is_ok_and(|key| pairing.proves(&key, open, secret))
        };
        let proven = match self.verify {
            Some(verified) => verified.or_verify(&pairing.claim(open, secret), &[], prove),
            None => prove(),
        };
        match proven {
            true => Ok(()),
            false => {
                let what = "these aren't the open and the secret tag of one patient: resolve the patient again";
                Err(malformed(what).into())
            }
        }
    }

    /// Where the request at `position` stands under the signature.
    fn signed(&self, position: u32) -> SignedRequest {
        SignedRequest {
            key_id: self.key_id,
            signature: self.signature,
            position,
            count: u32::try_from(self.requests.len()).expect("at most 64"),
            path: self.paths.path(position),
        }
    }
}

impl Signer {
    /// Verifies a requester's signature, unless this process has.
    fn verify_request(
        &self,
        genesis: &GenesisInfo,
        sealed: &SealedDecision,
        verified: &Verified,
    ) -> Result<(), Refusal> {
        let message = || {
            let count = u32::try_from(sealed.requests.len()).ok()?;
            let root = Hash::from_slice(&sealed.root).ok()?;
            Some(AuthorizeMessage { key_id: self.key.key_id, origin: genesis.origin.clone(), count, root })
        };
        let good = message().is_some_and(|message| {
            verified.or_verify(&message.encode(), &sealed.signature, || {
                let key = verified.key(&self.key);
                key.is_ok_and(|key| message.verify(&key, &sealed.signature).is_ok())
            })
        });
        match good {
            true => Ok(()),
            false => Err(coded(Code::BadSignature)),
        }
    }
}

/// Tells whether the requester signed these requests, which need not be opened for it. Sealed records are compared with the
/// root when they are applied.
pub(crate) fn verify_only(shared: &Shared, store: &Store, sealed: &SealedDecision) -> Result<(), Stop> {
    let key_id = KeyId::from_slice(&sealed.key_id).map_err(|_| malformed("a key id is 32 bytes"))?;
    let root = Hash::from_slice(&sealed.root).map_err(|_| malformed("a root is 32 bytes"))?;
    let signer = Signer::of(&Overlay::new(store), &key_id, |_| place_of(root))?;
    Ok(signer.verify_request(&shared.genesis, sealed, &shared.verified)?)
}

/// Requests are sealed as if they were the records of a stream of this name: a root is used by one signature only.
pub(crate) fn place_of(root: Hash) -> StreamId {
    StreamId::from_bytes(root.to_bytes())
}

/// The facts on record about the items that a request names, and its own statements about the others.
fn item_facts(overlay: &Overlay<'_>, rules: &mut Rules<'_>, request: &ParsedRequest) -> Result<Vec<ItemFacts>, Stop> {
    let mut facts = Vec::with_capacity(request.items().len());
    for item in request.items() {
        // That these tags are one patient's is proven by now, if not on record yet.
        let pair = request.secret_tag().map(|second| (request.tag(), second));
        let row = overlay.item_spelled(&item.id, pair, rules.is_spelled())?;
        let is_secret = row.is_some_and(|row| request.secret_tag() == Some(&row.tag));
        let other_patient = row.is_some_and(|row| row.tag != *request.tag()) && !is_secret;
        let mut states = [PatientState::default(), PatientState::default()];
        if let Some(row) = row.filter(|_| !other_patient)
            && let Some(deposit) = rules.item(overlay, &row, &item.id)?
        {
            let event = Event::Deposit(vec![deposit]);
            let meta = Meta {
                index: LeafIndex(0),
                time: LedgerTimeMs(0),
                signer: request.actor().clone(),
                authority: false,
                patient_key: false,
                authenticated: false,
                will: None,
                party: None,
                server: None,
            };
            states[usize::from(is_secret)].apply(&event, &meta);
        }
        let [open, secret] = &states;
        let mut known = ItemFacts::of(item, open, Some(secret), other_patient);
        // Its deposit erased, the item is secret all the same.
        known.secret |= is_secret;
        if row.is_some() && states.iter().all(|state| state.deposit(&item.id).is_none()) {
            // Who asks doesn't become the depositor of what was erased by saying so.
            (known.depositor, known.depositor_organisation) = (None, None);
        }
        facts.push(known);
    }
    Ok(facts)
}

/// The decision under each tag; under the secret tag only if an item of it was asked for. Where nothing else was asked
/// for, that is all: under the open tag a decision on nothing would tell of it.
fn split(
    decision: Decision,
    facts: &[ItemFacts],
    kept_apart: impl Fn(&ItemFacts) -> bool,
) -> (Option<Decision>, Option<Decision>) {
    let Decision { items, obligations, versions } = decision;
    let items = items.into_iter().zip(facts);
    let (secret, open): (Vec<_>, Vec<_>) = items.partition(|(_, facts)| kept_apart(facts));
    let of = |items: Vec<(ItemDecision, &ItemFacts)>| {
        let items: Vec<_> = items.into_iter().map(|(item, _)| item).collect();
        // What is owed is owed for the glass that was broken there.
        let owed = items.iter().any(|item| item.reason == Reason::BreakGlass);
        let obligations = if owed { obligations.clone() } else { Vec::new() };
        Decision { items, obligations, versions: versions.clone() }
    };
    let secret = (!secret.is_empty()).then(|| of(secret));
    ((!open.is_empty()).then(|| of(open)), secret)
}

/// A decision that couldn't be read again isn't made: it names a consent for each item, and there may be thousands of both.
fn check_len(payload: usize) -> Result<(), Refusal> {
    match payload <= DECISION_BYTES_MAX {
        true => Ok(()),
        false => {
            Err(Refusal::new(Code::RecordTooLarge, "the decision would be over 1 MiB: ask for fewer items at a time"))
        }
    }
}

/// Key under which the decisions on a request are found again, for as long as it isn't stale.
fn request_key(request: &ParsedRequest, signer: &Signer) -> Vec<u8> {
    let hash = sha256(&[b"sillage/asked/v1\0", signer.key.author_id.as_bytes(), request.hash().as_bytes()]);
    [schema::consent_prefix::ASKED, &request.message().requested_at_ms.to_be_bytes(), hash.as_bytes()].concat()
}

/// The original decisions on a request that is handed in again; `None` where it wasn't decided, or what was decided is
/// erased.
fn decided_before(overlay: &Overlay<'_>, rules: &mut Rules<'_>, name: &[u8]) -> Result<Option<Decided>, Stop> {
    let Some(row) = overlay.row(Family::Consent, name)? else { return Ok(None) };
    let (indices, rest) = row.as_chunks::<8>();
    let last_act = overlay.voids()?.last_act();
    if indices.is_empty() || !rest.is_empty() {
        return Err(ReadError::Damaged("the row of a request can't be read".into()).into());
    }
    let mut decisions = Vec::with_capacity(indices.len());
    for index in indices {
        let index = LeafIndex(u64::from_be_bytes(*index));
        // Where something was voided since, something else may count by now: it is decided anew.
        let Some(record) = rules.decision(overlay, index)?.filter(|_| last_act < Some(index)) else { return Ok(None) };
        decisions.push(MadeDecision::of(index, &record, &record.payload()));
    }
    Ok(Some(Decided { decisions, repeated: true }))
}

/// The decisions and refusals that applying would give. See [`crate::LedgerReader::check_decision`].
pub(crate) fn check_only(
    shared: &Shared,
    caches: &mut Caches,
    store: &Store,
    (size, time): (u64, LedgerTimeMs),
    sealed: &SealedDecision,
) -> Result<Vec<Result<(), Refusal>>, Stop> {
    let overlay = Overlay::new(store);
    let genesis = &shared.genesis;
    let mut rules = Rules::of_check(caches, &shared.stats, size, &overlay)?;
    let verify = shared.to_verify();
    let checked = SignedRequests::open(&overlay, &mut rules, genesis, verify, sealed).and_then(|asked| {
        let verdicts = (0..asked.requests.len()).map(|position| {
            let verdict = asked.verdict(&overlay, &mut rules, genesis, time, position);
            match verdict.map_err(|stop| stop.at(u32::try_from(position).expect("at most 64"))) {
                Ok(_) => Ok(Ok(())),
                Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
                Err(stop) => Err(stop),
            }
        });
        verdicts.collect::<Result<Vec<_>, Stop>>()
    });
    rules.finish(size);
    checked
}

impl Applier<'_> {
    /// Decides on the requests of one requester.
    pub(super) fn decision(&mut self, sealed: &SealedDecision) -> Result<CommandOutcome, Fatal> {
        let asked = SignedRequests::open(&self.overlay, &mut self.rules, self.genesis, self.verify, sealed);
        let asked = match asked {
            Ok(asked) => asked,
            Err(stop) => {
                self.stats.refused();
                return Ok(CommandOutcome::Refused(stop.refusal()?));
            }
        };
        let mut outcomes = Vec::with_capacity(asked.requests.len());
        for position in 0..u32::try_from(asked.requests.len()).expect("at most 64") {
            outcomes.push(match self.request(&asked, position).map_err(|stop| stop.at(position)) {
                Ok(decided) => Ok(decided),
                Err(stop) => {
                    self.stats.refused();
                    Err(stop.refusal()?)
                }
            });
        }
        Ok(CommandOutcome::Decided(outcomes))
    }

    fn request(&mut self, asked: &SignedRequests<'_>, position: u32) -> Result<Decided, Stop> {
        let verdict = asked.verdict(&self.overlay, &mut self.rules, self.genesis, self.time, position as usize)?;
        let new = match verdict {
            Verdict::Again(decided) => {
                self.stats.repeated();
                return Ok(decided);
            }
            Verdict::New(new) => new,
        };
        let opened = &asked.requests[position as usize];
        let as_of = self.next_index();
        let moment = Moment { at: self.time, valid_s: new.valid_s, as_of: TreeSize(as_of) };
        let signed = asked.signed(position);
        let first = new.open.as_ref().map(|decision| NewDecision {
            index: LeafIndex(as_of),
            tag: opened.tag,
            key: opened.key,
            which_tag: WhichTag::Open,
            decision,
        });
        let second = match &new.secret {
            None => None,
            Some((tag, decision)) => {
                let id = &asked.sealed.requests[position as usize].secret_data_key_id;
                // None came along because nothing of it was on record where the request was sealed.
                let key = id[..].try_into().map_err(|_| coded(Code::DataKeyGone))?;
                let (index, which_tag) = (LeafIndex(as_of + u64::from(first.is_some())), WhichTag::Secret);
                Some(NewDecision { index, tag: *tag, key, which_tag, decision })
            }
        };
        // All of it is sealed before any of it is recorded.
        let mut sealed = Vec::with_capacity(2);
        for made in [first, second].into_iter().flatten() {
            let salts_and_nonce = derive(opened.seed(), made.index);
            let record = DecisionRecord::new(
                &new.request,
                &signed,
                made.which_tag,
                made.decision,
                moment,
                salts_and_nonce.salts,
            )
            .with_asker(new.asker.clone());
            let payload = Zeroizing::new(record.payload());
            check_len(payload.len())?;
            let cipher = self.seal(asked, &made, &salts_and_nonce.nonce, &payload)?;
            let entry = DecisionEntry { index: made.index, tag: made.tag, key: made.key };
            sealed.push((MadeDecision::of(made.index, &record, &payload), entry, record, cipher));
        }
        if let Some(secret) = new.request.secret_tag() {
            self.overlay.pair(&opened.tag, secret, true)?;
        }
        let mut row = Vec::with_capacity(16);
        let mut decisions = Vec::with_capacity(sealed.len());
        for (made, entry, record, cipher) in sealed {
            self.put_decision(asked, &entry, made.record_hash, &cipher)?;
            self.rules.decided(entry.tag, entry.index, Arc::new(record));
            row.extend_from_slice(&made.index.get().to_be_bytes());
            decisions.push(made);
        }
        self.overlay.set_row(Family::Consent, new.name, Some(row));
        self.stats.decided(decisions.len() as u64);
        Ok(Decided { decisions, repeated: false })
    }

    fn seal(
        &mut self,
        asked: &SignedRequests<'_>,
        made: &NewDecision<'_>,
        nonce: &[u8; 12],
        payload: &[u8],
    ) -> Result<Vec<u8>, Stop> {
        let name = (made.tag, made.key);
        let gone = || coded(Code::DataKeyGone);
        let on_record = &mut self.rules.caches.on_record;
        let wrapped = match on_record.key(&self.overlay, &name)? {
            Some(wrapped) => wrapped,
            None => asked.new_key(&name).ok_or_else(gone)?.into(),
        };
        let epochs = on_record.epochs(&self.overlay, TagPrefix::of(&made.tag))?;
        let place = Place::of_ledger(made.tag, made.index);
        let sealed = self.rules.caches.vault.seal(&place, (made.key, &wrapped, epochs), nonce, &[payload]);
        sealed.map_err(|error| match error {
            VaultError::Kek(error) => Stop::Kek(error),
            VaultError::Unreadable => malformed("a data key can't be unwrapped").into(),
        })
    }

    /// Adds the entry of a decision, its payload, and its data key where that isn't on record.
    fn put_decision(
        &mut self,
        asked: &SignedRequests<'_>,
        made: &DecisionEntry,
        record_hash: Hash,
        payload: &[u8],
    ) -> Result<(), ReadError> {
        self.put_entry(&RecordEntry {
            index: made.index,
            time: self.time,
            flags: Flags::LEDGER,
            kind: Kind::DECISION_MADE,
            tag: made.tag,
            record_hash,
            position: 0,
        });
        let payloads = self.store.family(Family::Payload);
        self.writes.put_cf(payloads, schema::index_key(made.index.get()), payload);
        let name = (made.tag, made.key);
        match asked.new_key(&name) {
            Some(wrapped) => self.overlay.take_new_key(name, wrapped),
            None => Ok(()),
        }
    }
}

impl SignedRequests<'_> {
    fn new_key(&self, name: &DataKeyName) -> Option<&[u8]> {
        self.new_keys.iter().find(|(known, _)| known == name).map(|(_, wrapped)| *wrapped)
    }
}

/// A decision to be put on record.
struct NewDecision<'v> {
    index: LeafIndex,
    tag: Tag,
    key: [u8; 16],
    which_tag: WhichTag,
    decision: &'v Decision,
}

/// Where a decision is recorded, and the data key that it is sealed under there.
struct DecisionEntry {
    index: LeafIndex,
    tag: Tag,
    key: [u8; 16],
}

/// The random part of a decision, as every node works it out.
struct DerivedRandomness {
    salts: [[u8; SALT_BYTES]; 2],
    nonce: [u8; 12],
}

/// HKDF-SHA256 (RFC 5869) over the seed, for one entry: no two entries have salts or a nonce in common.
fn derive(seed: &[u8], index: LeafIndex) -> DerivedRandomness {
    let info = [&b"sillage/decision-seed/v1\0"[..], &index.get().to_be_bytes()].concat();
    let mut out = Zeroizing::new([0; 2 * SALT_BYTES + 12]);
    Hkdf::<Sha256>::new(None, seed).expand(&info, &mut out[..]).expect("44 bytes are no more than 255 hashes");
    let (salt_a, rest) = out.split_first_chunk().expect("as long as all three");
    let (salt_p, nonce) = rest.split_first_chunk().expect("as long as all three");
    DerivedRandomness { salts: [*salt_a, *salt_p], nonce: nonce.try_into().expect("as long as all three") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_and_nonces_follow_from_seed_and_index_alone() {
        let (one, again, other) =
            (derive(&[7; 32], LeafIndex(5)), derive(&[7; 32], LeafIndex(5)), derive(&[7; 32], LeafIndex(6)));
        assert_eq!((one.salts, one.nonce), (again.salts, again.nonce));
        assert_ne!(one.nonce, other.nonce);
        assert_ne!(one.salts, other.salts);
        assert_ne!(one.salts[0], one.salts[1]);
        assert_ne!(derive(&[8; 32], LeafIndex(5)).nonce, one.nonce);
    }
}
