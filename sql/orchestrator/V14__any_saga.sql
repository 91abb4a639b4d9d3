-- Sagas of any definition. A purchase has its fields in columns; every other saga has its input as JSON, and no user and
-- no amount. Without a check of that: PostgreSQL would read it anew for every statement.
alter table saga
    alter column definition type varchar(63),
    alter column user_id drop not null,
    alter column amount drop not null,
    -- the input of a saga that is no purchase
    add column input text null,
    -- the id that a client of DTM gave it, which is never released
    add column gid varchar(128) null,
    -- the steps whose start is durable before their first call, separated by commas; null if there are none
    add column started text null;

-- idempotency keys of sagas that are no purchases
create unique index saga_key on saga (idempotency_key) where user_id is null and idempotency_key is not null;
create unique index saga_gid on saga (gid) where gid is not null;
-- "the sagas of a definition", newest first; purchases are listed by the primary key
create index saga_of_definition on saga (definition, id desc) where user_id is null;

-- Definitions from files and over HTTP. A name and a version mean one definition for ever: every node checks the hash of
-- the definition that it was given against the one here.
create table saga_definition (
    name        varchar(63)  not null,
    version     integer      not null,
    -- SHA-256 of the canonical form, in hexadecimal digits
    hash        varchar(64)  not null,
    -- the canonical form, a JSON object
    body        text         not null,
    -- the file's name, or that it came over HTTP
    origin      text         not null,
    created_at  timestamptz  not null default clock_timestamp(),
    primary key (name, version)
);
