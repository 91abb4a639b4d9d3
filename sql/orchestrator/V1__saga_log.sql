-- The saga log: one row a saga, one row a node's lease. DESIGN: see ARCHITECTURE.md, "The saga protocol".

create table node_lease (
    node_id      varchar(100) primary key,
    -- a new value for every process; only a twin with the same node id ever changes it under a running process
    incarnation  uuid         not null,
    registered_at timestamptz not null default clock_timestamp(),
    expires_at   timestamptz  not null
);

create table saga (
    id                  uuid         primary key,
    -- which table of steps it follows; a node claims only definitions that it knows
    definition          varchar(60)  not null,
    definition_version  integer      not null,
    user_id             varchar(100) not null,
    amount              numeric(10,2) not null,
    product_wanted      varchar(100) null,
    -- what the steps gave back so far, a JSON object of strings
    outputs             text         not null default '{}',
    status              varchar(12)  not null
        check (status in ('PENDING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'FAILED')),
    direction           varchar(12)  not null default 'forward' check (direction in ('forward', 'compensating')),
    -- why it turned back, or why it ended without an effect
    error               text         null,
    -- the state of every step, for people; correctness never reads it
    timeline            text         not null default '[]',
    idempotency_key     varchar(255) null,
    fingerprint         bytea        null,
    -- tells a repeated begin of the same attempt from somebody else's row
    begin_nonce         uuid         not null,
    -- who runs it; every write is conditional on incarnation and epoch
    owner_node          varchar(100) not null,
    owner_incarnation   uuid         not null,
    epoch               integer      not null default 1,
    -- how often it was claimed since its last awaited write: a saga that kills its owners goes to attention
    claims              integer      not null default 0,
    -- flags that any node may set, read by the owner
    cancel_requested_at timestamptz  null,
    retry_requested_at  timestamptz  null,
    -- why a person should look, null when nobody needs to
    attention           text         null,
    attention_at        timestamptz  null,
    resolved_at         timestamptz  null,
    resolved_note       text         null,
    -- a saga without an actor sleeps until then
    wake_at             timestamptz  null,
    deadline_at         timestamptz  not null,
    created_at          timestamptz  not null default clock_timestamp(),
    turned_at           timestamptz  null,
    ended_at            timestamptz  null,
    -- where retention is on: when its details were cleared; from then on its status is answered in brief
    cleared_at          timestamptz  null,
    check (ended_at is null or status not in ('PENDING', 'COMPENSATING'))
) with (fillfactor = 75);

-- recovery and takeover look only at these
create index saga_unfinished on saga (owner_node, owner_incarnation) where ended_at is null;
-- those of the attention list that wait for their next try
create index saga_sleeping on saga (wake_at) where wake_at is not null and ended_at is null;
-- what owners look for with each heartbeat
create index saga_flagged on saga (owner_incarnation)
    where ended_at is null and (cancel_requested_at is not null or retry_requested_at is not null);
-- the idempotent start: the saga row is the record of its key
create unique index saga_idempotency on saga (user_id, idempotency_key) where idempotency_key is not null;
-- "my purchases", newest first (ids sort by time)
create index saga_of_user on saga (user_id, id desc);
-- the attention list
create index saga_attention on saga (attention_at) where attention is not null;
-- retention: what ended long ago and still has its details, or its key
create index saga_in_full on saga (ended_at) where ended_at is not null and cleared_at is null;
create index saga_holding_key on saga (ended_at) where ended_at is not null and idempotency_key is not null;

-- The changes of sagas and steps, for whoever follows them: one row for all that one write, or one flush, changed in one
-- saga. Read in the order of the primary key, and only behind the oldest transaction that still runs: see
-- ARCHITECTURE.md, "Events".
create table saga_event (
    transaction  xid8         not null default pg_current_xact_id(),
    -- the order within a transaction; counts from 1
    position     bigint       not null generated always as identity,
    saga_id      uuid         not null,
    -- a JSON array of changes, oldest first. Text: what a participant said may hold what jsonb does not take
    changes      text         not null,
    at           timestamptz  not null default clock_timestamp(),
    primary key (transaction, position)
);

-- One row: the last event that was pruned. Whoever asks for what follows an older one is told of the gap.
create table saga_event_horizon (
    only_row     boolean      primary key default true check (only_row),
    transaction  xid8         not null,
    position     bigint       not null
);
insert into saga_event_horizon (transaction, position) values ('0', 0);
