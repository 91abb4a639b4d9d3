//! Attempts that must fail (SECURITY.md): unauthorized requests to every route, and clients that take more than their
//! share. The leak of secrets has its own suite, `secrets`.

mod access;
mod greed;
mod rates;
mod saga_secrets;

use tests::StackOptions;

/// The tokens of a stack that requires all of them.
const API: &str = "api-5f1d9c0b7a4e28";
const SERVICE: &str = "service-c2e84d6f317a90";
const OPERATOR: &str = "operator-90b7e5a1d86cf2";

/// The production profile with all tokens, without its limit of rates.
fn in_production() -> StackOptions {
    with_all_tokens().profile("production").set("rate_limit.per_second", 0)
}

fn with_all_tokens() -> StackOptions {
    StackOptions::default()
        .set("auth.api_token", API)
        .set("auth.service_token", SERVICE)
        .set("auth.operator_token", OPERATOR)
}
