//! Certificates for tests of TLS: an authority, and the certificates that it signs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// The name that the servers of tests have in their certificates.
pub const NAME: &str = "db.test";

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate chain and its key, as PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// Makes a new one, with a key of its own.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn new() -> Self {
        let mut of = CertificateParams::default();
        of.distinguished_name.push(DnType::CommonName, "an authority of tests");
        of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(of, key()).expect("the parameters are complete"))
    }

    /// Writes the certificate of the authority, and returns the file.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, self.0.pem()).expect("the folder can be written");
        file
    }

    /// Signs a certificate for the names of a server.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(server_of(names))
    }

    /// Signs a certificate of a server that expired long ago.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn expired(&self, names: &[&str]) -> Pair {
        self.sign(expired(server_of(names)))
    }

    /// Signs a certificate of a client, whose role it names.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn client(&self, role: &str) -> Pair {
        let mut of = CertificateParams::default();
        of.distinguished_name.push(DnType::CommonName, role);
        of.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(of)
    }

    fn sign(&self, of: CertificateParams) -> Pair {
        let key = key();
        let certificate = of.signed_by(&key, &self.0).expect("the parameters are complete");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Makes a certificate of a server that no authority signed and that says that it is one, as `openssl req -x509`
    /// does.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn self_signed(names: &[&str]) -> Self {
        Self::of_its_own(server_of(names))
    }

    /// Like [`Pair::self_signed`], and expired long ago.
    ///
    /// # Panics
    /// When the library cannot.
    pub fn self_signed_and_expired(names: &[&str]) -> Self {
        Self::of_its_own(expired(server_of(names)))
    }

    fn of_its_own(mut of: CertificateParams) -> Self {
        of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let certificate = of.self_signed(&key).expect("the parameters are complete");
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes both, the key readable for its owner only, and returns the two files.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let files = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        fs::write(&files.0, &self.certificate).expect("the folder can be written");
        fs::write(&files.1, &self.key).expect("the folder can be written");
        fs::set_permissions(&files.1, fs::Permissions::from_mode(0o600)).expect("an owner may change permissions");
        files
    }
}

fn server_of(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut of = CertificateParams::new(names).expect("the names are ASCII");
    of.distinguished_name.push(DnType::CommonName, "a server of tests");
    of.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    of
}

fn expired(mut of: CertificateParams) -> CertificateParams {
    of.not_before = date_time_ymd(2019, 1, 1);
    of.not_after = date_time_ymd(2020, 1, 1);
    of
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}
