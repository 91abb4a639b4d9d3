//! The limit on open files. Each connection is one, so connections beyond it would leave none for the database, and none for
//! the health check that should say so.

use common::config::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Enough for every setting of a service; a soft limit is often 1024, which is meant for programs that use `select`.
const WANTED: u64 = 65_536;

/// Raises the soft limit, and lowers `http.max_connections` of these services of one process if it does not suffice.
pub(crate) fn fit(settings: &mut Settings, services: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = current.map(|current| current.max(maximum.unwrap_or(WANTED).min(WANTED)));
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: raised, maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let Some(limit) = limit else { return };
    let fitting = connections(limit, services);
    if settings.http.max_connections > fitting {
        warn!(
            limit,
            "http.max_connections is {fitting} instead of {}: raise the limit on open files",
            settings.http.max_connections
        );
        settings.http.max_connections = fitting;
    }
}

/// Returns how many connections each service may have. A quarter of the limit is for databases, other services and files.
fn connections(limit: u64, services: usize) -> usize {
    let all = usize::try_from(limit - limit / 4).unwrap_or(usize::MAX);
    (all / services.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(
            [(1024, 1), (1024, 5), (64, 5), (2, 5)].map(|(limit, services)| connections(limit, services)),
            [768, 153, 9, 1]
        );
    }
}
