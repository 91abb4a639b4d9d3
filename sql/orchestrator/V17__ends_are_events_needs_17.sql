-- The events of a saga that ends before anything of it was told are made from its row, and it has no rows in saga_event.
--
-- A program that does not know this migration would not tell these events, so it must not run any more.

alter table saga
    -- the place of its end in the stream of events, as in saga_event, if its events are made from this row. After a
    -- restore on another server it has no transaction any more
    add column ended_transaction xid8 null,
    add column ended_position bigint null;

create index saga_ends on saga (ended_transaction, ended_position) where ended_transaction is not null;

-- whether this row tells that its saga has begun; at most one row of a saga does
alter table saga_event add column begins boolean not null default false;

update saga_event e set begins = true from saga s
 where s.id = e.saga_id and s.ended_at is null and e.changes like '[["PENDING"%';

create unique index saga_event_begin on saga_event (saga_id) where begins;
