//! Calls below the command line: batches that the client would refuse to send, bytes that aren't protobuf, callers with
//! the wrong certificate or none.

use std::path::Path;
use std::time::Duration;

use prost::bytes::{Buf as _, BufMut as _};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sillage_client::author::Signer;
use sillage_client::profile::Profile;
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, AuthorId, SigningKey};
use sillage_proto::v1::ledger_client::LedgerClient;
use sillage_proto::v1::{AuthorizeRequest, Batch, DecisionRequest, ErrorInfo, SaltedRecord, TagPairing};
use sillage_rules::decide::message::AuthorizeMessage;
use sillage_rules::record::{ParsedRecord, record_hash};
use sillage_rules::stream::StreamLabel;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
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
    let _entered = crate::world::runtime().enter();
    endpoint.connect_timeout(Duration::from_secs(10)).timeout(Duration::from_secs(30)).connect_lazy()
}

/// As [`channel`], ready for calls; large ones too.
pub fn rpc(profile: &Profile, node: usize, pem: Option<&Pem>) -> Rpc {
    LedgerClient::new(channel(profile, node, pem))
        .max_decoding_message_size(64 << 20)
        .max_encoding_message_size(64 << 20)
}

/// Calls `/service/method` with bytes that nothing has looked at.
///
/// # Errors
/// The node's answer.
pub async fn raw(channel: Channel, path: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, tonic::Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let answer = grpc.unary(tonic::Request::new(bytes), PathAndQuery::from_static(path), Bytes).await;
    answer.map(tonic::Response::into_inner)
}

/// Messages as bytes.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, bytes: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Requests for decisions as they are signed, whatever they say, each with the proof of its tags.
///
/// # Panics
/// With more than 64 of them.
pub fn ask(signer: &Signer, asked: Vec<(DecisionRequest, TagPairing)>) -> AuthorizeRequest {
    let (requests, pairings): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let requests: Vec<Vec<u8>> = requests.iter().map(prost::Message::encode_to_vec).collect();
    let hashes: Vec<Hash> = requests.iter().map(|request| leaf_hash(request)).collect();
    let message = AuthorizeMessage::new(signer.key.key_id(), signer.origin.clone(), &hashes).expect("at most 64");
    AuthorizeRequest {
        alg: u32::from(ALG_ED25519),
        key_id: signer.key.key_id().as_bytes().to_vec(),
        signature: message.sign(&signer.key).to_vec(),
        pairings,
        requests,
        urgent: false,
    }
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
    let message = BatchMessage {
        key_id: signer.key.key_id(),
        origin: signer.origin.clone(),
        stream_id: signer.stream_id(&label),
        seq,
        count: u32::try_from(records.len()).expect("not that many"),
        root: batch_root(&records.iter().map(leaf).collect::<Vec<_>>()),
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

/// What is signed of a record. One that breaks the rules is filed nowhere: anything will do.
fn leaf(salted: &SaltedRecord) -> BatchLeaf {
    let salt = salted.salt[..].try_into().unwrap_or_default();
    let hash = record_hash(&salt, &salted.record);
    let nowhere = BatchLeaf { kind: 0, stated: 0, tag: [0; 32], record_hash: hash };
    ParsedRecord::parse(&salted.record).map_or(nowhere, |record| record.batch_leaf(hash))
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

/// A page of a node's client port, over HTTP/1.1.
///
/// # Errors
/// What the connection or the node says.
pub async fn get(profile: &Profile, node: usize, pem: Option<&Pem>, path: &str) -> Result<Vec<u8>, String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let certificates = |pem: &str| {
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|c| c.expect("PEM").into_owned()).collect::<Vec<_>>()
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(&profile.ca)) {
        roots.add(certificate).expect("a certificate");
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match pem {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).expect("a key");
            config.with_client_auth_cert(certificates(&pem.cert), key).expect("a certificate and its key")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let address = profile.endpoints[node - 1].trim_start_matches("https://").to_owned();
    let name = ServerName::try_from(profile.server_name.clone()).expect("a name");
    let page = async {
        let stream = tokio::net::TcpStream::connect(&address).await?;
        let mut stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), page).await.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("no HTTP")?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(answer[head + 4..].to_vec()),
        false => Err(String::from_utf8_lossy(&answer[..head]).into_owned()),
    }
}
