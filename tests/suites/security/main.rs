//! Attempts that must fail (SECURITY.md): unauthorized requests to every route, and clients that take more than their
//! share. The leak of secrets has its own suite, `secrets`.

mod doors;
mod greed;
mod rates;

use tests::StackOptions;

/// The tokens of a stack that requires all of them.
const API: &str = "api-5f1d9c0b7a";
const SERVICE: &str = "service-c2e84d6f31";
const OPERATOR: &str = "operator-90b7e5a1d8";

fn with_all_tokens() -> StackOptions {
    StackOptions::default()
        .set("auth.api_token", API)
        .set("auth.service_token", SERVICE)
        .set("auth.operator_token", OPERATOR)
}
