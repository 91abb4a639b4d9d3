//! Detects panics of services: a suite fails on each one, whatever else it checks. A panic only ends its task and
//! request, so that the log may otherwise look normal.

use std::{panic, sync::Once, thread};

use parking_lot::Mutex;

/// Prefix of the names of a service's threads.
const THREAD: &str = "service ";

/// Text in the log line of a panic.
const SAID: &str = "panicked at";

/// The panics of all services in this process: thread name and message.
static PANICS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Returns a name for the threads of a service; from now on their panics are recorded.
pub(crate) fn watch(name: &str) -> String {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let current = thread::current();
            if let Some(name) = current.name().filter(|name| name.starts_with(THREAD)) {
                let panic = (name.to_owned(), info.to_string());
                PANICS.lock().push(panic);
            }
            usual(info);
        }));
    });
    format!("{THREAD}{name}")
}

/// Removes and returns the panics of the threads with this name.
pub(crate) fn take(threads: &str) -> Vec<String> {
    let mut panics = PANICS.lock();
    let (of_threads, others) = std::mem::take(&mut *panics).into_iter().partition(|(name, _)| name == threads);
    *panics = others;
    of_threads.into_iter().map(|(_, said): (String, String)| said).collect()
}

/// Checks the log of one of our processes.
///
/// # Panics
/// When the log contains a panic.
#[track_caller]
pub fn assert_none_in(log: &str) {
    let said = log.lines().find(|line| line.contains(SAID));
    assert_eq!(said, None, "the process panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panics_of_a_service_are_found_and_no_others() {
        let name = watch("of a test");
        let panic = |name: &str| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(|| panic!("on purpose")).expect("a thread starts").join().expect_err("it panicked");
        };
        panic(&name);
        panic("another");
        let panics = take(&name);
        assert!(panics.len() == 1 && panics[0].contains("on purpose"), "{panics:?}");
        assert_eq!(take(&name), Vec::<String>::new());
    }

    #[test]
    #[should_panic(expected = "the process panicked")]
    fn a_line_of_a_panic_in_a_log_fails_its_test() {
        assert_none_in("all is well\nthread 'main' (7) panicked at src/main.rs:1:1:\nboom\n");
    }
}
