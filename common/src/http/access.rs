//! The callers of a route.

/// The callers of a route, weakest first. The module `auth` decides which tokens that means in a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// Clients: everyone, unless an API token is set.
    Client,
    /// Clients that hold the API token.
    KnownClient,
    /// Other services.
    Service,
    /// Operators.
    Operator,
}

impl Access {
    /// Returns the name of the access in the API description.
    pub(super) fn name(self) -> &'static str {
        match self {
            Access::Public => "public",
            Access::Client => "client",
            Access::KnownClient => "known client",
            Access::Service => "service",
            Access::Operator => "operator",
        }
    }
}
