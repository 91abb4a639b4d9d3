//! Addresses of this machine.

use std::net::IpAddr;

use warp::http::Uri;

/// Returns whether the host of a URL is this machine: a loopback address, the unspecified address, or `localhost`.
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_known_in_all_their_forms() {
        let here = ["127.0.0.1:8000", "127.8.9.1", "localhost", "LOCALHOST:1", "shop.localhost", "[::1]:8000"];
        for host in here.into_iter().chain(["[::ffff:127.0.0.1]", "0.0.0.0:8000", "[::]"]) {
            assert!(is_loopback(&format!("http://{host}/health/")), "{host}");
        }
        for host in ["192.0.2.1", "localhost.example", "[2001:db8::1]", "notlocalhost"] {
            assert!(!is_loopback(&format!("http://{host}/health/")), "{host}");
        }
    }
}
