//! Calls below the command line: batches that the client would refuse to send, bytes that aren't protobuf, callers with
//! the wrong certificate or none.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sillage_client::author::Signer;
use sillage_client::profile::Profile;
use sillage_proof::batch::{BatchMessage, Origin};
use sillage_proof::hash::{Hash, leaf_hash2};
use sillage_proof::keys::{ALG_ED25519, AuthorId, SigningKey};
use sillage_proof::merkle;
use sillage_proto::v1::ledger_client::LedgerClient;
use sillage_proto::v1::{Batch, ErrorInfo, SaltedRecord};
use sillage_rules::stream::StreamLabel;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A connection's calls.
pub type Rpc = LedgerClient<Channel>;

/// A client certificate and its key, PEM.
#[derive(Clone)]
pub struct Pem {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The certificate of a profile.
pub fn pem_of(profile: &Profile) -> Pem {
    Pem { cert: read(&profile.cert), key: read(&profile.key) }
}

/// A way to node `node` (from 1), calling with `pem`, or with no certificate at all.
///
/// # Panics
/// When the address or the certificates can't be used at all; connecting comes later.
pub fn channel(profile: &Profile, node: usize, pem: Option<&Pem>) -> Channel {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&profile.ca)))
        .domain_name(profile.server_name.clone());
    if let Some(pem) = pem {
        tls = tls.identity(Identity::from_pem(&pem.cert, &pem.key));
    }
    let endpoint = Endpoint::from_shared(profile.endpoints[node - 1].clone()).expect("an address");
    let endpoint = endpoint.tls_config(tls).expect("certificates");
    endpoint.connect_timeout(Duration::from_secs(10)).timeout(Duration::from_secs(30)).connect_lazy()
}

/// As [`channel`], ready for calls; large ones too.
pub fn rpc(profile: &Profile, node: usize, pem: Option<&Pem>) -> Rpc {
    LedgerClient::new(channel(profile, node, pem)).max_decoding_message_size(64 << 20).max_encoding_message_size(64 << 20)
}

/// The typed error in a status.
///
/// # Panics
/// When there is none: every refusal carries its code.
pub fn info(status: &tonic::Status) -> ErrorInfo {
    let info = <ErrorInfo as prost::Message>::decode(status.details());
    let info = info.unwrap_or_else(|error| panic!("details that are not an ErrorInfo ({error}): {status:?}"));
    assert!(!info.code.is_empty(), "a refusal without a code: {status:?}");
    info
}

/// The signer of a profile.
///
/// # Panics
/// When the profile has no author key.
pub fn signer(profile: &Profile) -> Signer {
    signer_with(profile, profile.author_signing_key().expect("an author key"))
}

/// A signer with another key, as the author whose first key it is.
///
/// # Panics
/// When the profile's origin isn't one.
pub fn signer_with(profile: &Profile, key: SigningKey) -> Signer {
    let origin = Origin::new(profile.origin.clone()).expect("an origin");
    Signer { origin, author_id: AuthorId::of_first_key(&key.public_key()), key }
}

/// Signs whatever `records` are, with no regard to any limit. The salts count up: this is no place for secrets.
pub fn sign(signer: &Signer, stream: &str, seq: u64, records: Vec<Vec<u8>>) -> Batch {
    let salted = |(i, record)| SaltedRecord { salt: u128::to_be_bytes(i).to_vec(), record };
    let records: Vec<SaltedRecord> = (seq as u128 * 100_000..).zip(records).map(salted).collect();
    sign_salted(signer, stream, seq, records)
}

/// As [`sign`], with salts of the caller's choice.
///
/// # Panics
/// When the label isn't one.
pub fn sign_salted(signer: &Signer, stream: &str, seq: u64, records: Vec<SaltedRecord>) -> Batch {
    let label = StreamLabel::parse(stream).expect("a stream's label");
    let hashes: Vec<Hash> = records.iter().map(|r| leaf_hash2(&r.salt, &r.record)).collect();
    let message = BatchMessage {
        key_id: signer.key.key_id(),
        origin: signer.origin.clone(),
        stream_id: signer.stream_id(&label),
        seq,
        count: u32::try_from(records.len()).expect("not that many"),
        root: merkle::root_of(&hashes),
    };
    Batch {
        alg: ALG_ED25519.into(),
        key_id: message.key_id.to_bytes().to_vec(),
        stream_label: stream.to_owned(),
        seq,
        root: message.root.to_bytes().to_vec(),
        signature: message.sign(&signer.key).to_vec(),
        records,
    }
}

fn caller_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A caller's certificate, signed by the log's own authority, that no party has registered.
///
/// # Panics
/// When the authority's files are not there.
pub fn unregistered(dir: &Path) -> Pem {
    let key = KeyPair::from_pem(&read(&dir.join("tls/ca.key"))).expect("the authority's key");
    let issuer = Issuer::from_ca_cert_pem(&read(&dir.join("tls/ca.pem")), key).expect("the authority's certificate");
    let key = KeyPair::generate().expect("a key");
    let cert = caller_params("stranger").signed_by(&key, &issuer).expect("a certificate");
    Pem { cert: cert.pem(), key: key.serialize_pem() }
}

/// A caller's certificate of an authority that nobody knows.
///
/// # Panics
/// When the system has no randomness to give.
pub fn foreign() -> Pem {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let cert = caller_params("stranger").signed_by(&key, &issuer).expect("a certificate");
    Pem { cert: cert.pem(), key: key.serialize_pem() }
}
