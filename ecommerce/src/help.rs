//! The examples below each command's help. A test parses all of them.

pub(crate) const UP: &str = "\
Examples:
  ecommerce up
      everything on ports 8000 to 8004, with a PostgreSQL of its own; Ctrl-C stops
  ecommerce up --profile bench
      nothing fails, nothing is slow on purpose
  ecommerce up --database-url postgres://user@localhost/ --json
      on a server that runs; the addresses as one JSON document

Exit codes: 0 stopped; 2 the configuration is wrong; 3 the database does not answer;
4 a port is taken, or a service gave up; 130 stopped at once by a second Ctrl-C.";

pub(crate) const SERVE: &str = "\
Examples:
  ecommerce migrate && ecommerce serve payments
      one service; the database is named by ECOMMERCE__DATABASE__URL
  ecommerce serve orchestrator --node-id b --port 8010
      a second orchestrator on the same saga log; each takes over what the other leaves

Exit codes: 0 stopped; 2 the configuration is wrong; 3 the database does not answer;
4 the port is taken, the database is not migrated, or the service gave up.";

pub(crate) const MIGRATE: &str = "\
Examples:
  ecommerce migrate --database-url postgres://user@localhost/
      makes the five databases where they are missing; run again it changes nothing

Exit codes: 0 all are up to date; 2 no database is configured; 3 it does not answer; 4 a migration failed.";

pub(crate) const ORDER: &str = "\
Examples:
  ecommerce order --user me --amount 9.99
      the catalog picks the product
  ecommerce order --user me --amount 9.99 --product 7 --json
      the orchestrator's own answer

Exit codes: 0 completed (or accepted, where it takes long); 1 reverted, or something could not be undone yet;
2 the order is wrong; 3 nobody answers; 4 it answered with an error.";

pub(crate) const LOAD: &str = "\
Examples:
  ecommerce load --sagas 200 --concurrency 20
      200 purchases by 20 buyers, each of whom buys again as soon as it is answered
  ecommerce load --sagas 3000 --concurrency 500 --rate 100
      100 purchases a second, whether the answers come or not; latency counts from the moment at which a
      purchase was due, so that a system that stalls cannot hide it
  ecommerce load --sagas 1000 --concurrency 50 --audit --json --report run.html
      for scripts: one JSON document, the report beside it, and the books checked afterwards

Exit codes: 0 every purchase ended COMPLETED or COMPENSATED, and the audit, if there was one, found nothing;
1 a purchase FAILED or nobody knows its end, or the audit found something; 2 bad usage; 3 nobody answers;
4 it answered with an error before anything was bought; 130 stopped at once by a second Ctrl-C.
The first Ctrl-C stops buying, waits for what was bought and shows the table so far.";

pub(crate) const STATUS: &str = "\
Examples:
  ecommerce status 0190a2f0-0000-7000-8000-0000deadbeef
      every step, its attempts, and the error that turned the purchase back

Exit codes: 0 shown, however it stands; 3 nobody answers; 4 there is no such purchase.";

pub(crate) const WATCH: &str = "\
Examples:
  ecommerce watch
      on a terminal a live view (q or Ctrl-C quits); elsewhere a line a change, until Ctrl-C
  ecommerce watch --lines
      lines on a terminal too
  ecommerce watch 0190a2f0-0000-7000-8000-0000deadbeef
      one purchase, until it ends

Exit codes: 0 seen enough, or the purchase completed; 1 the purchase did not complete; 3 nobody answers;
4 there is no such purchase. A connection that is lost is taken up again, and no change is missed.";

pub(crate) const LIST: &str = "\
Examples:
  ecommerce list --status compensated --limit 5
      the five newest that were reverted, and why
  ecommerce list --user me --json

Exit codes: 0 listed; 3 nobody answers; 4 it answered with an error.";

pub(crate) const CANCEL: &str = "\
Examples:
  ecommerce cancel 0190a2f0-0000-7000-8000-0000deadbeef

Exit codes: 0 it turns back; 3 nobody answers; 4 it has ended, or there is no such purchase.";

pub(crate) const ATTENTION: &str = "\
Examples:
  ecommerce attention
      what could not be undone for so long that somebody should look, with the last error

Exit codes: 0 listed; 3 nobody answers; 4 it answered with an error, such as 403 without the operator token.";

pub(crate) const RETRY: &str = "\
Examples:
  ecommerce retry 0190a2f0-0000-7000-8000-0000deadbeef
  ecommerce retry --all
      once what was broken is repaired: nobody has to wait for the next attempt

Exit codes: 0 tried again; 3 nobody answers; 4 it has ended, or there is no such purchase.";

pub(crate) const RESOLVE: &str = "\
Examples:
  ecommerce resolve 0190a2f0-0000-7000-8000-0000deadbeef --note \"refunded at the bank, ticket 4711\"
      it is not tried again; the note is kept for whoever looks next

Exit codes: 0 recorded; 2 the note says nothing; 3 nobody answers; 4 there is nothing to settle.";

pub(crate) const INSPECT: &str = "\
Examples:
  ecommerce inspect 0190a2f0-0000-7000-8000-0000deadbeef
      what the saga log says, and what each participant has decided and answered

Exit codes: 0 shown; 3 nobody answers; 4 it answered with an error.";

pub(crate) const AUDIT: &str = "\
Examples:
  ecommerce audit
      the books of the `ecommerce up` that runs here, also while purchases run
  ecommerce audit --settled --database-url postgres://user@localhost/ --json
      nothing runs any more, so everything must have ended

Exit codes: 0 every invariant holds; 1 one is broken; 2 no database is known; 3 it does not answer.";

pub(crate) const SIMULATE: &str = "\
Examples:
  ecommerce simulate
      a thousand disasters
  ecommerce simulate --seeds 0..10000 --nodes 3
      ten thousand, with three orchestrators each
  ecommerce simulate --seeds 42..43 --trace
      one, message by message

A file of faults is TOML and names what differs from the mix that finds most, such as
  lost_reply_rate = 0.5     # of every call
  crashes = 0               # orchestrators killed, at most
  calm_after_ms = 25000     # when it all stops

Exit codes: 0 nothing broke an invariant; 1 something did, and is shown; 2 bad usage or a bad file.";

pub(crate) const HOLD: &str = "\
Examples:
  ecommerce hold --reason 'restored from the backup of noon'
      before the orchestrators start; from then on none of them begins or recovers anything

Exit codes: 0 on hold; 2 no database is known; 3 it does not answer.";

pub(crate) const RELEASE: &str = "\
Examples:
  ecommerce release
      if the books agree; else it says which do not, and the hold stays
  ecommerce release --anyway
      somebody has looked at each

Exit codes: 0 released, or nothing was on hold; 1 the books do not agree; 2 no database is known; 3 it does not answer.";

pub(crate) const HEALTH: &str = "\
Examples:
  ecommerce health http://127.0.0.1:8002
      the health check of a container

Exit codes: 0 healthy; 1 anything else; 2 that is no address.";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  ecommerce completions bash > /etc/bash_completion.d/ecommerce
  ecommerce completions zsh > ~/.zfunc/_ecommerce";
