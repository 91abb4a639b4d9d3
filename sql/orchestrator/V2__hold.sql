-- A hold on all sagas: while there is a row, no node begins or recovers anything. For after a restore, until the books of
-- the five databases have been compared.

create table saga_hold (
    -- at most one
    singleton  boolean     primary key default true check (singleton),
    held_since timestamptz not null default clock_timestamp(),
    reason     text        not null
);
