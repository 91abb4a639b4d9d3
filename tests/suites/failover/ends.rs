//! A listener of all events, which must receive the end of each saga once and miss none.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use tests::events::Listener;

/// The sagas whose end was told.
#[derive(Default)]
pub(crate) struct Ends(Mutex<BTreeSet<String>>);

impl Ends {
    /// Listens for ever.
    pub(crate) async fn listen(&self, mut listener: Listener) {
        loop {
            let event = listener.next().await.expect("the stream does not end");
            assert_ne!(event.name, "gap", "events are missing: {event:?}");
            if event.name == "saga" && event.data["ended"] == true {
                let saga = event.saga().to_owned();
                let is_new = self.0.lock().insert(saga);
                assert!(is_new, "an end is told twice: {event:?}");
            }
        }
    }

    /// Returns the sagas whose end was not received yet.
    pub(crate) fn missing<'a>(&self, ended: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
        let told = self.0.lock();
        ended.filter(|saga| !told.contains(*saga)).collect()
    }
}
