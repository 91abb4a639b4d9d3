-- Losses of confirmed commits at a failover that have put a hold: a release of the hold is final, though services repeat
-- what they found until they are restarted.

create table saga_lost_commits (
    -- in the words of the service that found it
    loss     text        primary key,
    found_at timestamptz not null default clock_timestamp()
);
