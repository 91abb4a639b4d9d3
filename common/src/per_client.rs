//! A limit per client on concurrent uses of something.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

/// Counts by client. Clones share the counts.
#[derive(Clone, Debug)]
pub struct PerClient {
    limit: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One use by a client, released on drop.
#[derive(Debug)]
pub struct Share(Option<(PerClient, IpAddr)>);

impl PerClient {
    /// Creates a counter that allows each client `limit` concurrent uses; 0: unlimited.
    pub fn new(limit: usize) -> Self {
        Self { limit, counts: Arc::default() }
    }

    /// Takes one share; `None` if the client is at its limit.
    pub fn take(&self, client: IpAddr) -> Option<Share> {
        if self.limit == 0 {
            return Some(Share(None));
        }
        let mut counts = self.counts.lock();
        let count = counts.entry(client).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Share(Some((self.clone(), client))))
    }
}

impl Share {
    /// Returns a share that counts for no client.
    pub fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((of, client)) = &self.0 else { return };
        if let Entry::Occupied(mut count) = of.counts.lock().entry(*client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_up_to_the_limit_and_none_is_remembered_that_has_nothing() {
        let (ada, bob) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let listeners = PerClient::new(2);
        let first = listeners.take(ada).unwrap();
        let second = listeners.take(ada).unwrap();
        assert!(listeners.take(ada).is_none() && listeners.take(bob).is_some());
        drop(first);
        let third = listeners.take(ada);
        assert!(third.is_some());
        drop((second, third));
        assert!(listeners.counts.lock().is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let ada = "192.0.2.1".parse().unwrap();
        let listeners = PerClient::new(0);
        let shares: Vec<_> = (0..10).map(|_| listeners.take(ada)).collect();
        assert!(shares.iter().all(Option::is_some) && listeners.counts.lock().is_empty());
    }
}
