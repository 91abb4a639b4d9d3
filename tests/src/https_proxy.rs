//! A proxy that speaks HTTPS to clients and HTTP to one server.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ServerConfig, crypto,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Pair;

/// A running proxy; it ends when dropped.
pub struct HttpsProxy {
    /// Its address, by the name `localhost`.
    pub url: String,
    task: AbortHandle,
}

impl HttpsProxy {
    /// Starts a proxy before a server, with a certificate for `localhost`.
    ///
    /// # Panics
    /// When it cannot listen, or the certificate is invalid.
    pub async fn before(server: SocketAddr, pair: &Pair) -> Self {
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("it is PEM");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("suites and versions fit each other")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        };
        let task = tokio::spawn(accept).abort_handle();
        Self { url: format!("https://localhost:{}", address.port()), task }
    }
}

impl Drop for HttpsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
