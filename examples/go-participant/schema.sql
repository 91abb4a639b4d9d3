-- One row per saga. `found` is set by the compensation: the state in which it found the action.
select pg_advisory_xact_lock(hashtext('cars'));
create schema if not exists cars;
create table if not exists cars.journal (
    transaction_id text primary key,
    contents text,
    status integer,
    reply text,
    found text check (found in ('done', 'refused', 'none'))
);
create table if not exists cars.bookings (
    booking_id bigint generated always as identity primary key,
    transaction_id text not null,
    traveller text not null,
    city text not null,
    cancelled boolean not null default false
);
