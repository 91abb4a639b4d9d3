//! A host of a server's URL.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) const DEFAULT_PORT: u16 = 5432;

/// One of the hosts, as the URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name to look up, or an address as text.
    Name {
        name: String,
        port: u16,
    },
    /// An address that is not looked up; certificates are for the name.
    Address {
        name: Option<String>,
        address: IpAddr,
        port: u16,
    },
    Socket {
        folder: PathBuf,
        port: u16,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, port } if name.contains(':') => write!(formatter, "[{name}]:{port}"),
            Self::Name { name, port } => write!(formatter, "{name}:{port}"),
            Self::Address { name: Some(name), address, port } => write!(formatter, "{name}:{port} ({address})"),
            Self::Address { name: None, address: IpAddr::V6(address), port } => write!(formatter, "[{address}]:{port}"),
            Self::Address { name: None, address, port } => write!(formatter, "{address}:{port}"),
            Self::Socket { folder, port: DEFAULT_PORT } => write!(formatter, "socket {}", folder.display()),
            Self::Socket { folder, port } => write!(formatter, "socket {}, port {port}", folder.display()),
        }
    }
}
