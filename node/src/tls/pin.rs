//! Certificates that must be certain ones: the chain is checked as ever, and then the key is looked up.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{SpkiSha256, spki_sha256};

fn check(certificate: &CertificateDer<'_>, pins: &[SpkiSha256]) -> Result<(), Error> {
    match spki_sha256(certificate) {
        Some(spki) if pins.contains(&spki) => Ok(()),
        Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        None => Err(CertificateError::BadEncoding.into()),
    }
}

/// Callers of the peer port: the nodes of the genesis entry and no one else.
#[derive(Debug)]
pub struct PinnedClients {
    chain: Arc<dyn ClientCertVerifier>,
    pins: Vec<SpkiSha256>,
}

impl PinnedClients {
    /// Those of `pins` that `chain` accepts.
    pub fn new(chain: Arc<dyn ClientCertVerifier>, pins: Vec<SpkiSha256>) -> Self {
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
        check(end_entity, &self.pins)?;
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

/// A node that is dialled: exactly the one that the genesis entry names.
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
        check(end_entity, &[self.pin])?;
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
