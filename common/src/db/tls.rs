//! TLS to PostgreSQL, by the keys of libpq in the URL: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslnegotiation`.
//!
//! They mean what they mean to libpq, with two differences: the certificates of `verify-ca` and `verify-full` end at the
//! system's roots if no file is named, and a file that is missing is always an error. Like libpq, this reads the files
//! for each connect, so a renewed certificate needs no restart. Host names are looked for in `subjectAltName` only.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio_postgres::Error;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;

use super::host::Host;
use crate::tls::{Check, Identity, Roots};

/// The keys that are handled here.
pub(super) const KEYS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation"];

/// How connections are protected.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    mode: Mode,
    roots: Option<RootsFrom>,
    /// The files of a client certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
    negotiation: SslNegotiation,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum RootsFrom {
    System,
    File(PathBuf),
}

impl Tls {
    /// Takes the keys out of those of a URL.
    pub(super) fn take(own: &mut HashMap<String, String>, hosts: &[Host]) -> Result<Self, String> {
        let mut take = |key: &str| own.remove(key).filter(|value| !value.is_empty());
        let roots = take("sslrootcert").map(|value| match value.as_str() {
            "system" => RootsFrom::System,
            file => RootsFrom::File(file.into()),
        });
        let mode = match take("sslmode").as_deref() {
            None if roots == Some(RootsFrom::System) => Mode::VerifyFull,
            None | Some("prefer") => Mode::Prefer,
            Some("disable") => Mode::Disable,
            Some("allow") => Mode::Allow,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => {
                return Err("sslmode takes disable, allow, prefer, require, verify-ca or verify-full".to_owned());
            }
        };
        if roots == Some(RootsFrom::System) && mode != Mode::VerifyFull {
            return Err(
                "sslrootcert=system needs sslmode=verify-full: any site has a certificate of some CA".to_owned()
            );
        }
        let negotiation = match take("sslnegotiation").as_deref() {
            None | Some("postgres") => SslNegotiation::Postgres,
            Some("direct") if mode >= Mode::Require => SslNegotiation::Direct,
            Some("direct") => {
                return Err("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full".to_owned());
            }
            Some(_) => return Err("sslnegotiation takes postgres or direct".to_owned()),
        };
        let identity = match (take("sslcert"), take("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err("sslcert needs sslkey, the file of its private key".to_owned()),
            (None, Some(_)) => return Err("sslkey needs sslcert, the file of its certificate".to_owned()),
        };
        let is_nameless = |host: &Host| matches!(host, Host::Address { name: None, .. });
        if mode == Mode::VerifyFull && hosts.iter().any(is_nameless) {
            return Err("sslmode=verify-full needs a host beside each hostaddr, for its certificate".to_owned());
        }
        Ok(Self { mode, roots, identity, negotiation })
    }

    /// Reads the files and returns the configuration of a client; `None` without TLS.
    ///
    /// # Errors
    /// The key, the file and the reason.
    pub(super) fn client(&self) -> Result<Option<ClientConfig>, String> {
        if self.mode == Mode::Disable {
            return Ok(None);
        }
        let check = match (self.mode, &self.roots) {
            (Mode::VerifyFull, _) => Check::ChainAndName,
            (Mode::VerifyCa, _) | (_, Some(_)) => Check::Chain,
            (_, None) => Check::Nothing,
        };
        let roots = match &self.roots {
            None | Some(RootsFrom::System) => Roots::System,
            Some(RootsFrom::File(file)) => {
                let roots = Roots::given(certificates("sslrootcert", file)?);
                roots.map_err(|error| format!("sslrootcert {} cannot be used: {error}", file.display()))?
            }
        };
        let identity = self.identity.as_ref().map(|(certificate, key)| read_identity(certificate, key)).transpose()?;
        let mut config = crate::tls::client(roots, check, identity).map_err(|error| match &self.identity {
            Some((certificate, key)) => {
                format!("sslcert {} cannot be used with sslkey {}: {error}", certificate.display(), key.display())
            }
            None => error.to_string(),
        })?;
        if self.negotiation == SslNegotiation::Direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Some(config))
    }

    /// Returns the ways to try in turn at a host. A socket is never encrypted.
    pub(super) fn ways(&self, host: &Host) -> &'static [SslMode] {
        match (host, self.mode) {
            (Host::Socket { .. }, _) | (_, Mode::Disable) => &[SslMode::Disable],
            (_, Mode::Allow) => &[SslMode::Disable, SslMode::Require],
            (_, Mode::Prefer) => &[SslMode::Prefer, SslMode::Disable],
            (_, Mode::Require | Mode::VerifyCa | Mode::VerifyFull) => &[SslMode::Require],
        }
    }

    pub(super) fn negotiation(&self) -> SslNegotiation {
        self.negotiation
    }

    /// Explains a failed connect in words, if TLS is why it failed.
    pub(super) fn explain(&self, error: &Error) -> Option<String> {
        let mode = self.mode.name();
        let Some(reason) = tls_error(error) else {
            let is_refused = error.source().is_some_and(|cause| cause.to_string() == "server does not support TLS");
            return is_refused.then(|| format!("the server does not support TLS, and sslmode is {mode}"));
        };
        let roots = match &self.roots {
            Some(RootsFrom::File(file)) => format!("sslrootcert {}", file.display()),
            None | Some(RootsFrom::System) => "the CAs of this system".to_owned(),
        };
        Some(match reason {
            // The signature is wrong if another CA has the same name.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                format!("the server's certificate does not come from {roots}: name the file of its CA in sslrootcert")
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!("the server's certificate is not for this host, which sslmode={mode} demands: {reason}"),
            rustls::Error::InvalidCertificate(_) => {
                format!("the server's certificate cannot be used: {reason} (checked with {roots})")
            }
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::CertificateRequired,
            ) => match &self.identity {
                Some((file, _)) => format!("the server does not accept sslcert {}: {reason}", file.display()),
                None => format!("the server demands a client certificate, by sslcert and sslkey: {reason}"),
            },
            other => format!("TLS failed: {other}"),
        })
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Returns whether the next way may succeed where this one failed: the TLS handshake failed, or `pg_hba.conf` has no
/// entry for this kind of connection. A wrong password (28P01) is not tried again.
pub(super) fn may_work_otherwise(error: &Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        // This kind of error is recognisable only by its message.
        None => tls_error(error).is_some() || error.to_string() == "error performing TLS handshake",
    }
}

/// Returns the error of the TLS library among the causes.
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()).or(error.downcast_ref()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let chain = certificates("sslcert", certificate)?;
    check_access(key)?;
    let read = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            format!("sslkey {} holds no private key, or an encrypted one: expected PEM without password", key.display())
        }
        error => unreadable("sslkey", key, &error),
    })?;
    Ok((chain, read))
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(format!("{name} {} holds no certificate", file.display())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(name, file, &error)),
    }
}

fn unreadable(name: &str, file: &Path, error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => format!("{name} {} cannot be read: {error}", file.display()),
        error => format!("{name} {} is not a PEM file: {error}", file.display()),
    }
}

/// Refuses a private key that others can read, by the rule of libpq: a key of root may be readable for its group.
fn check_access(key: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata =
        std::fs::metadata(key).map_err(|error| format!("sslkey {} cannot be read: {error}", key.display()))?;
    let (forbidden, mode) = if metadata.uid() == 0 { (0o037, "0640") } else { (0o077, "0600") };
    match metadata.mode() & forbidden {
        0 => Ok(()),
        _ => Err(format!("sslkey {} can be read by others: chmod it to {mode} or less", key.display())),
    }
}

#[cfg(test)]
mod tests;
