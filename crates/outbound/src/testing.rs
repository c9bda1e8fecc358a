//! For this crate's tests: a TLS server that only they trust.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

// The key is in the repository, so it is worth nothing.
const CERTIFICATE: &[u8] = include_bytes!("../../auth/tests/data/localhost.crt.der");
const KEY: &[u8] = include_bytes!("../../auth/tests/data/localhost.key.der");

pub(crate) fn certificate() -> Vec<u8> {
    CERTIFICATE.to_vec()
}

pub(crate) fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY.to_vec()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate())], key)
        .expect("the key fits");
    TlsAcceptor::from(Arc::new(config))
}
