//! The help: its groups, and the examples below that of each command. A test parses all of them.

mod groups;

pub(crate) use self::groups::grouped;

pub(crate) const UP: &str = "\
Examples:
  ecommerce up
      all services on ports 8000 to 8004, with their own PostgreSQL; Ctrl-C stops them
  ecommerce up --profile bench
      without simulated failures and delays
  ecommerce up --database-url postgres://user@localhost/ --json
      on an existing server; prints the addresses as one JSON document

Exit codes: 0 stopped; 2 the configuration is wrong; 3 the database does not answer; \
4 a port is taken, or a service gave up; 5 this version does not fit the databases (see `ecommerce migrate --help`); \
130 stopped at once by a second Ctrl-C.";

pub(crate) const SERVE: &str = "\
Examples:
  ecommerce migrate && ecommerce serve payments
      one service, on the server of ECOMMERCE__DATABASE__URL, or of ECOMMERCE__SERVICES__PAYMENTS__DATABASE_URL
  ecommerce serve orchestrator --node-id b --port 8010
      a second orchestrator on the same saga log; each takes over the sagas of the other if it fails

Exit codes: 0 stopped; 2 the configuration is wrong; 3 the database does not answer; \
4 the port is taken, the database is not migrated, or the service gave up; 5 this version is too old for the database.";

pub(crate) const MIGRATE: &str = "\
Examples:
  ecommerce migrate --database-url postgres://user@localhost/
      creates the five databases if they are missing; a repetition changes nothing
  ECOMMERCE__SERVICES__PAYMENTS__DATABASE_URL=postgres://user@payments.db/ ecommerce migrate
      the database of payments on a server of its own, the others on that of ECOMMERCE__DATABASE__URL

  ecommerce migrate --stopped
      after all services were stopped, for a version whose migrations lock out earlier ones

Migrations of a newer version are accepted and shown, so that the previous version can be used again. \
Exit codes: 0 all are migrated; 2 a service has no database; 3 a server does not answer; 4 a migration failed, or a \
password is wrong; 5 this version is too old for a database, or would lock out services that may be running.";

pub(crate) const WAIT: &str = "\
Examples:
  ecommerce wait payments
      in an init container, before `ecommerce serve payments`; the reason of the wait is logged when it changes

There is no time limit. Exit codes: 0 the database has every migration of this version, or the wait was stopped; \
2 bad usage or configuration; 5 this version is too old for the database.";

pub(crate) const ORDER: &str = "\
Examples:
  ecommerce order --user me --amount 9.99
      the catalog picks the product
  ecommerce order --user me --amount 9.99 --product 7 --json
      prints the orchestrator's answer

Exit codes: 0 completed (or accepted, if it takes long); 1 reverted, or not all steps could be undone yet; \
2 the order is invalid; 3 no answer; 4 an error was answered.";

pub(crate) const LOAD: &str = "\
Examples:
  ecommerce load --sagas 200 --concurrency 20
      200 purchases by 20 buyers, each starting the next purchase after the answer
  ecommerce load --sagas 3000 --concurrency 500 --rate 100
      100 purchases per second, independent of the answers; latency counts from the scheduled start of a \
      purchase, so that a stall of the system is measured too
  ecommerce load --sagas 1000 --concurrency 50 --audit --json --report run.html
      for scripts: one JSON document, a report file, and an audit afterwards
  ecommerce load --sagas 50 --target https://test.shop.example/orchestrator --yes
      on another computer: without --yes it asks first, since purchases take money and stock there

Exit codes: 0 every purchase ended COMPLETED or COMPENSATED, and the audit, if any, found no violation; \
1 a purchase FAILED or its outcome is unknown, or the audit found a violation; 2 bad usage; 3 no answer; \
4 an error was answered before the first purchase, or the report cannot be written; 130 stopped at once by a second Ctrl-C.

The expected shares follow from the refusal rates of the failure lab. None is computed where calls without an answer, such \
as lost replies, turned purchases back, or where the settings changed or cannot be read. \
The first Ctrl-C starts no further purchases, waits for those running and shows the table so far.";

pub(crate) const RESTOCK: &str = "\
Examples:
  ecommerce restock --to 1000
      every product of the catalog has at least 1,000 units; a repetition changes nothing
  ecommerce restock --add 50 --product 7 --key delivery-4711
      a delivery, counted once, however often it is repeated with this key

Needs the operator token, and the addresses of catalog and inventory (ECOMMERCE__SERVICES__INVENTORY__URL and so on). \
Exit codes: 0 restocked; 2 bad usage; 4 a service does not answer or refused.";

pub(crate) const STATUS: &str = "\
Examples:
  ecommerce status 0190a2f0-0000-7000-8000-0000deadbeef
      every step, its attempts, and the error that reverted the purchase
  ecommerce status deadbeef
      a part of the id is enough if it is unique: its beginning, or the end that `watch` shows; an end is \
      looked for among the newest 1,000 purchases
  ecommerce status 0190a2f0 -o yaml
      the orchestrator's document as YAML; `-o wide` has exact times

Exit codes: 0 shown, whatever its status; 2 the part of an id is not unique; 3 no answer; 4 unknown purchase.";

pub(crate) const WATCH: &str = "\
Examples:
  ecommerce watch
      on a terminal, a live view (q or Ctrl-C quits); elsewhere one line per change, until Ctrl-C
  ecommerce watch --lines
      one line per change, even on a terminal
  ecommerce watch 0190a2f0-0000-7000-8000-0000deadbeef
      one purchase, until it ends

Keys of the live view: arrows (or j and k) select a purchase, whose whole id, steps and error are then shown; Home and End \
select the first and the last; Esc deselects; q quits.

Exit codes: 0 stopped by the user, or the purchase completed; 1 the purchase did not complete; 3 no answer; \
4 unknown purchase. A lost connection is restored, and no change is missed.";

pub(crate) const LIST: &str = "\
Examples:
  ecommerce list --status compensated --limit 5
      the five newest reverted purchases, with their errors
  ecommerce list --since 2h --sort amount
      those of the last two hours, largest amount first
  ecommerce list --user me -o json

Exit codes: 0 listed; 2 bad usage; 3 no answer; 4 an error was answered.";

pub(crate) const CANCEL: &str = "\
Examples:
  ecommerce cancel 0190a2f0-0000-7000-8000-0000deadbeef
      the purchase ends COMPENSATED: a payment is refunded; stock stays taken, unless \
      checkout.compensate_inventory is set

Exit codes: 0 the purchase is being undone; 2 the part of an id is not unique; 3 no answer; 4 the purchase has ended or \
is unknown.";

pub(crate) const ATTENTION: &str = "\
Examples:
  ecommerce attention
      purchases whose undo has failed for so long that a person must look, with the last error

Exit codes: 0 listed; 3 no answer; 4 an error was answered, such as 403 without the operator token.";

pub(crate) const RETRY: &str = "\
Examples:
  ecommerce retry 0190a2f0-0000-7000-8000-0000deadbeef
  ecommerce retry --all
      after a repair, instead of waiting for the next attempt

Exit codes: 0 retried; 2 the part of an id is not unique; 3 no answer; 4 the purchase has ended or is unknown.";

pub(crate) const RESOLVE: &str = "\
Examples:
  ecommerce resolve 0190a2f0-0000-7000-8000-0000deadbeef --note \"refunded at the bank, ticket 4711\"
      after you have undone by hand what was left: this command changes no money and no stock. The purchase ends FAILED, \
      with the note and the name of the login, and is not retried any more

Exit codes: 0 recorded; 2 the note is blank; 3 no answer; 4 nothing to settle.";

pub(crate) const INSPECT: &str = "\
Examples:
  ecommerce inspect 0190a2f0-0000-7000-8000-0000deadbeef
      the record of the orchestrator, and the decisions and answers of each participant

Exit codes: 0 shown; 3 no answer; 4 an error was answered.";

pub(crate) const AUDIT: &str = "\
Examples:
  ecommerce audit
      the databases of the `ecommerce up` running here, even while sagas run
  ecommerce audit --settled --database-url postgres://user@localhost/ --json
      the system is stopped, so every saga must have ended
  ecommerce audit --journals 100000
      compares more than the newest 1,000 sagas with the journals of named participants

The table has a line for each invariant: how many sagas, transactions or products were checked for it, and how many \
violate it. Purchases that still run, and calls that did not come from the orchestrator, are listed but not judged.

Exit codes: 0 every invariant holds; 1 one is broken, or a journal could not be read; 2 a service has no database; \
3 a server does not answer; 4 a database is not the one that its service used, or is not migrated.";

pub(crate) const SAGAS: &str = "\
Examples:
  ecommerce sagas run trip --input trip.json
      a saga of the definition trip, in its newest version
  ecommerce sagas list --definition trip --status compensated
      the newest trips that were undone, with their errors
  ecommerce sagas put sagas/trip.toml
      gives a definition to all orchestrators
  ecommerce sagas check sagas/trip.toml
      every problem of the file, with its line

`ecommerce saga run trip` is the same as `ecommerce sagas run trip`. Each command has examples and exit codes: \
ecommerce sagas run --help";

pub(crate) const SAGAS_RUN: &str = "\
Examples:
  ecommerce sagas run trip --input trip.json
      prints the outcome, and the outputs of the steps
  ecommerce sagas run trip --version 2 --key order-4711 --input - --json
      the input from a pipe; a repetition of the command gets the same saga; prints the orchestrator's answer

Exit codes: 0 completed (or accepted, if it takes long, or with --no-wait); 1 reverted, or not all steps could be undone \
yet; 2 the input is wrong, or there is no such definition; 3 no answer; 4 an error was answered.";

pub(crate) const SAGAS_LIST: &str = "\
Examples:
  ecommerce sagas list --definition trip --limit 5
  ecommerce sagas list --status failed --json

Purchases are sagas of the definition checkout. Exit codes: 0 listed; 3 no answer; 4 an error was answered.";

pub(crate) const SAGAS_SHOW: &str = "\
Examples:
  ecommerce sagas show 0190a2f0-0000-7000-8000-0000deadbeef
      a saga: input, outputs, every step with its attempts, and the error that reverted it
  ecommerce sagas show trip/1
      a definition: its steps and their graph; --json has all of it

Exit codes: 0 shown, whatever its status; 3 no answer; 4 unknown saga or definition.";

pub(crate) const SAGAS_PUT: &str = "\
Examples:
  ecommerce sagas put trip.toml
      checks the file, then gives the definition to all orchestrators; needs the operator token if there is one

A name and a version mean one definition for ever: after a change, raise the version.

Exit codes: 0 created, or there and equal; 1 the definition has an error, or differs from the one with this name and \
version; 2 the file cannot be read; 3 no answer; 4 an error was answered.";

pub(crate) const SAGAS_CHECK: &str = "\
Examples:
  ecommerce sagas check sagas/trip.toml --config-dir config --profile trip
      every problem of the file, with its line; participants are those of the configuration
  ecommerce sagas check trip.toml --participant flights --participant hotels --json
      participants besides these; one JSON document

The files are TOML, or JSON if their names end in .json. Two of them with the same name and version are an error, as for \
an orchestrator that starts. docs/definitions.md describes them.

Exit codes: 0 the definitions can be used, perhaps with warnings; 1 one has an error; 2 bad usage, or a file or the \
configuration is wrong.";

pub(crate) const SIMULATE: &str = "\
Examples:
  ecommerce simulate
      1000 seeds
  ecommerce simulate --seeds 0..10000 --nodes 3
      10,000 seeds, with three orchestrators each
  ecommerce simulate --seeds 42..43 --trace
      one seed, with all its messages
  ecommerce simulate --definition random
      sagas whose graph of steps is drawn from the seed

A file of faults is TOML with the settings that differ from the default mix, such as
  lost_reply_rate = 0.5     # of all calls
  crashes = 0               # maximum number of orchestrators killed
  calm_after_ms = 25000     # time at which all faults stop

Exit codes: 0 every invariant holds; 1 one is broken, and the seed is shown; 2 bad usage or a bad file.";

pub(crate) const CONFORMANCE: &str = "\
Examples:
  ecommerce conformance --config flights.toml
      a line per rule of docs/participants.md, with the requests sent and the answers received
  ecommerce conformance --config flights.toml --restart 'docker compose restart flights'
      also that decisions outlive the process; the command restarts the participant and then ends
  ecommerce conformance --config flights.toml --json --junit results.xml

The file names the address and the requests of the participant:
  url = \"http://127.0.0.1:9001\"
  step = \"flight\"               # Saga-Step, and in Idempotency-Key: <saga id>:flight
  timeout_ms = 5000             # of each answer
  [action]
  path = \"/bookings\"            # method = \"POST\" by default, and headers = {}
  body = { transaction_id = \"{saga.id}\", city = \"Lima\" }
  [compensation]
  method = \"DELETE\"
  path = \"/bookings/by-transaction/{saga.id}\"
  [other_contents]
  body = { city = \"Cusco\" }     # the members of the action's body that differ
  [refusal]
  body = { city = \"Atlantis\" }  # or tries = 50: it refuses at random, so try up to 50 keys
  [effects]                     # optional: counts the effects of a saga; 404 is none
  path = \"/bookings/by-transaction/{saga.id}\"
  count = \"/count\"              # a number or a list; or if = { \"/status\" = \"booked\" }
Placeholders are {saga.id}, {saga.step_key} and {saga.attempt}.

Exit codes: 0 no rule is violated; 1 one is; 2 the file is wrong; 3 no answer; 4 the results cannot be written.";

pub(crate) const HOLD: &str = "\
Examples:
  ecommerce hold --reason 'restored from the backup of noon'
      before the orchestrators start; they show every purchase, but begin and continue none until `ecommerce release`

Exit codes: 0 on hold; 2 no database is configured; 3 the database does not answer.";

pub(crate) const RELEASE: &str = "\
Examples:
  ecommerce release
      if the databases agree; otherwise the violations are listed and the hold stays
  ecommerce release --anyway
      after an operator has checked each violation

Exit codes: 0 released, or no hold; 1 the databases do not agree; 2 a service has no database; \
3 a server does not answer; 4 a database is not the one that its service used, or is not migrated.";

pub(crate) const HEALTH: &str = "\
Examples:
  ecommerce health http://127.0.0.1:8002
      the health check of a container

Exit codes: 0 healthy; 1 anything else; 2 the address is invalid.";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  ecommerce completions bash > /etc/bash_completion.d/ecommerce
  ecommerce completions zsh > ~/.zfunc/_ecommerce

Commands, options, profiles and ids are completed; ids by the orchestrator of ECOMMERCE_TARGET or, in shells other than \
bash, of --target, if it answers within a second.";
