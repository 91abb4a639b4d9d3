//! TLS of connections that this program opens: whose certificates are trusted, and the configuration of HTTP clients.
//!
//! The roots of the system are read when the first certificate is checked, so a program that only speaks plain HTTP
//! needs none. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::der::Decode;

/// Makes a builder of HTTP clients.
#[expect(clippy::disallowed_methods, reason = "this is where they are made")]
pub fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_backend_preconfigured(for_http())
}

/// Makes a builder of clients for servers that the configuration names: no proxy, and no redirect leads a token elsewhere.
pub fn internal_client() -> reqwest::ClientBuilder {
    http_client().no_proxy().redirect(reqwest::redirect::Policy::none())
}

/// Returns the configuration of an HTTP client: certificates are checked against the roots of the system.
pub(crate) fn for_http() -> ClientConfig {
    let mut config = client(Roots::System, Check::ChainAndName, None).expect("suites and versions fit each other");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Opens TLS to one host, for HTTP on a connection of the caller's.
pub struct Https {
    connector: TlsConnector,
    host: ServerName<'static>,
}

/// A connection with TLS.
pub type HttpsStream = TlsStream<TcpStream>;

/// The version of HTTP that a server has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, also if it named none.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Https {
    /// Prepares TLS to a host: a name, or an address without brackets. Its certificate must end at a root of the system.
    ///
    /// # Errors
    /// A host that no certificate can name.
    pub fn to(host: &str) -> Result<Self, InvalidDnsNameError> {
        Self::with(for_http(), host)
    }

    fn with(config: ClientConfig, host: &str) -> Result<Self, InvalidDnsNameError> {
        let host = ServerName::try_from(host.to_owned())?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), host })
    }

    /// Opens TLS on a connection, and returns the version of HTTP to speak.
    ///
    /// # Errors
    /// The handshake failed. Nothing of a request was sent.
    pub async fn open(&self, stream: TcpStream) -> io::Result<(HttpsStream, HttpVersion)> {
        let stream = self.connector.connect(self.host.clone(), stream).await?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => HttpVersion::Http2,
            Some(_) | None => HttpVersion::Http1,
        };
        Ok((stream, version))
    }
}

/// The certificates that a chain may end at.
#[derive(Debug)]
pub(crate) enum Roots {
    System,
    Given { store: RootCertStore, certificates: Vec<CertificateDer<'static>> },
}

impl Roots {
    /// # Errors
    /// The reason why one of them cannot be a root.
    pub(crate) fn given(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        certificates.iter().try_for_each(|certificate| store.add(certificate.clone()))?;
        Ok(Self::Given { store, certificates })
    }
}

/// The checks of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// A certificate chain and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Returns the configuration of a client.
///
/// # Errors
/// An identity whose certificate and key do not fit each other.
pub(crate) fn client(roots: Roots, check: Check, identity: Option<Identity>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = Arc::new(Verifier { provider: provider.clone(), roots, check });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key),
    }
}

/// Returns the check of a server's certificate against the roots of the system, for clients with a configuration of their
/// own.
pub(crate) fn verifier() -> Arc<dyn ServerCertVerifier> {
    let provider = Arc::new(crypto::ring::default_provider());
    Arc::new(Verifier { provider, roots: Roots::System, check: Check::ChainAndName })
}

fn system_roots() -> Result<Arc<RootCertStore>, Error> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let advice = "no CA certificates found: install ca-certificates, or name a file in SSL_CERT_FILE";
        return Err(Error::General(advice.to_owned()));
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Roots,
    check: Check,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain_to = |roots: &RootCertStore| {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)
        };
        match &self.roots {
            Roots::System => chain_to(&*system_roots()?)?,
            // A server's own certificate as the root. It often says that it is a CA, and webpki takes no CA for a
            // server.
            Roots::Given { certificates, .. } if certificates.contains(end_entity) => check_dates(end_entity, now)?,
            Roots::Given { store, .. } => chain_to(store)?,
        }
        if self.check == Check::ChainAndName {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let read = x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = read.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
    use rustls::ServerConfig;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Serves handshakes with a certificate for `localhost`, and returns it.
    async fn server(protocols: &[&str]) -> (u16, CertificateDer<'static>) {
        let mut of = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        of.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().unwrap();
        let certificate = of.self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        (port, certificate)
    }

    async fn handshake(port: u16, host: &str, root: CertificateDer<'static>) -> io::Result<HttpVersion> {
        let mut config = client(Roots::given(vec![root]).unwrap(), Check::ChainAndName, None).unwrap();
        config.alpn_protocols = for_http().alpn_protocols;
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Https::with(config, host).unwrap().open(stream).await?.1)
    }

    #[tokio::test]
    async fn the_server_chooses_the_version_of_http() {
        for (protocols, version) in [
            (&["h2", "http/1.1"][..], HttpVersion::Http2),
            (&["http/1.1"], HttpVersion::Http1),
            (&[], HttpVersion::Http1),
        ] {
            let (port, root) = server(protocols).await;
            assert_eq!(handshake(port, "localhost", root).await.unwrap(), version, "{protocols:?}");
        }
    }

    #[tokio::test]
    async fn a_certificate_of_another_host_or_another_authority_ends_the_handshake() {
        let (port, root) = server(&["h2"]).await;
        let (_, other_root) = server(&["h2"]).await;
        for (host, root) in [("localhost", other_root), ("flights.example", root.clone()), ("127.0.0.1", root)] {
            let error = handshake(port, host, root).await.expect_err(host).to_string();
            assert!(error.contains("certificate"), "{host}: {error}");
        }
    }
}
