//! Rate limit per client: a token bucket each (crate `governor`, GCRA), drained by requests and refilled over time.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::{ApiError, client::Client};
use crate::config::Settings;

/// Requests between two purges of clients whose bucket is full again: that bounds the memory by the recent clients, and
/// the cost of a purge is negligible.
const ROUND: u32 = 8_192;

pub(super) struct RateLimit {
    buckets: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl RateLimit {
    /// Returns the rate limit of a service; `None` if it is off.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let per_second = NonZeroU32::new(settings.rate_limit.per_second)?;
        let burst = NonZeroU32::new(settings.rate_limit.burst).unwrap_or(NonZeroU32::MIN);
        Some(Self {
            buckets: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        })
    }

    /// Takes a token from the client's bucket.
    ///
    /// # Errors
    /// 429 if the bucket is empty.
    pub(super) fn check(&self, client: Client) -> Result<(), ApiError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % ROUND == ROUND - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        let Err(early) = self.buckets.check_key(&client.address) else { return Ok(()) };
        let wait = early.wait_time_from(self.clock.now());
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(ApiError::too_many_requests("too many requests from this client; nothing was done", seconds.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ConfigSource,
        http::client::{IdentifiedBy, bucket_of},
    };

    fn limit() -> RateLimit {
        let mut settings = ConfigSource::embedded("bench").load().unwrap();
        // A token takes an hour to return, longer than any test.
        (settings.rate_limit.per_second, settings.rate_limit.burst) = (1, 2);
        let limit = RateLimit::of(&settings).unwrap();
        let slow = Quota::with_period(std::time::Duration::from_secs(3_600)).unwrap();
        RateLimit { buckets: RateLimiter::keyed(slow.allow_burst(NonZeroU32::new(2).unwrap())), ..limit }
    }

    fn client(address: IpAddr) -> Client {
        Client { address: bucket_of(address), identified_by: IdentifiedBy::Itself }
    }

    #[test]
    fn a_client_that_asks_too_often_hears_when_to_come_back_and_no_other_suffers() {
        let limit = limit();
        let ask = |from: &str| limit.check(client(from.parse().unwrap()));
        assert!(ask("203.0.113.1").is_ok() && ask("203.0.113.1").is_ok());
        let refused = ask("203.0.113.1").unwrap_err();
        assert_eq!(refused.status(), 429);
        assert!(ask("203.0.113.2").is_ok());
        for (address, is_let_in) in [("2001:db8::1", true), ("2001:db8::2", true), ("2001:db8::3", false)] {
            assert_eq!(ask(address).is_ok(), is_let_in, "one network is one client: {address}");
        }
        assert!(ask("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn clients_that_are_long_gone_are_forgotten() {
        let mut settings = ConfigSource::embedded("bench").load().unwrap();
        (settings.rate_limit.per_second, settings.rate_limit.burst) = (1_000_000_000, 1);
        let limit = RateLimit::of(&settings).unwrap();
        for number in 0..ROUND {
            let _ = limit.check(client(IpAddr::from(number.to_be_bytes())));
        }
        assert!(limit.buckets.len() < 100, "{}", limit.buckets.len());
    }
}
