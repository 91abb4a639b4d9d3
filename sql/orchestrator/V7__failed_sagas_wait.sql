-- FAILED sagas back off, and are woken when the operation that they wait for works again. All three columns are added
-- without writing the table anew.
alter table saga
    -- how often it was marked FAILED: its sleep doubles with each
    add column failed_marks integer not null default 0,
    -- the operation that it waits for while it sleeps, such as payments.refund; null where waking it early is no use
    add column waits_for varchar(200) null,
    -- whether a confirmation of that operation has ended its last sleep
    add column woken boolean not null default false;

-- who waits for an operation; empty while nothing is FAILED
create index saga_waiting on saga (waits_for, wake_at)
    where waits_for is not null and wake_at is not null and ended_at is null;
