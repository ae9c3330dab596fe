//! Certificates that must be certain ones: the chain is checked as ever, and then the key is looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{SpkiSha256, spki_sha256};

fn check(certificate: &CertificateDer<'_>, is_pinned: impl Fn(&SpkiSha256) -> bool) -> Result<(), Error> {
    match spki_sha256(certificate) {
        Some(spki) if is_pinned(&spki) => Ok(()),
        Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        None => Err(CertificateError::BadEncoding.into()),
    }
}

/// The nodes' certificates, which follow the log: clones see the same ones.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    of: Arc<RwLock<BTreeMap<SpkiSha256, u64>>>,
}

impl Pins {
    /// Those of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = (SpkiSha256, u64)>) -> Self {
        let pins = Self::default();
        pins.set(nodes);
        pins
    }

    /// From now on those of these nodes, and no others.
    pub fn set(&self, nodes: impl IntoIterator<Item = (SpkiSha256, u64)>) {
        *self.of.write() = nodes.into_iter().collect();
    }

    /// The node that has a certificate.
    pub fn id_of(&self, spki: &SpkiSha256) -> Option<u64> {
        self.of.read().get(spki).copied()
    }
}

/// Callers of the peer port: the nodes of the present node set and no one else.
#[derive(Debug)]
pub struct PinnedClients {
    chain: Arc<dyn ClientCertVerifier>,
    pins: Pins,
}

impl PinnedClients {
    /// Those of `pins` that `chain` accepts.
    pub fn new(chain: Arc<dyn ClientCertVerifier>, pins: Pins) -> Self {
        Self { chain, pins }
    }
}

impl ClientCertVerifier for PinnedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        check(end_entity, |spki| self.pins.id_of(spki).is_some())?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A node that is dialled: exactly the one that the log names.
#[derive(Debug)]
pub struct PinnedServer {
    chain: Arc<WebPkiServerVerifier>,
    pin: SpkiSha256,
}

impl PinnedServer {
    /// The holder of `pin`, if `chain` accepts it.
    pub fn new(chain: Arc<WebPkiServerVerifier>, pin: SpkiSha256) -> Self {
        Self { chain, pin }
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        check(end_entity, |spki| *spki == self.pin)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
