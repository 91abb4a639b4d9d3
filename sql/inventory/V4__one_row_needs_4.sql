-- The row of a stock movement is also the journal row of its decrease or restock. Every decision on one, a refusal and
-- a tombstone too, is a row here, under one unique key, and step_journal keeps restores only.
--
-- A program that does not know this migration records decreases in step_journal, where the others do not look. So it
-- must not run any more; its statements fail, because they name columns that step_journal lacks from now on.
--
-- The tables are written anew, which leaves no dead rows.

create domain movement_status as varchar(10) check (value in ('done', 'refused', 'tombstone'));

drop view stock_difference;
alter table stock_movement rename to movement_before;
alter table step_journal rename to journal_before;

create table stock_movement (
    moved_at       timestamptz     not null default clock_timestamp(),
    -- what moved, and the stock after it; a refusal and a tombstone moved nothing
    quantity       moved_quantity  null,
    remaining      integer         null,
    -- whether the orchestrator asked, and as what; for people and for the audit
    attempt        integer         null,
    epoch          integer         null,
    -- which list of fields was hashed
    hash_version   smallint        null,
    -- how the answer is made: 0 from the text in `reply`, 1 from the other columns
    reply_form     smallint        null,
    from_saga      boolean         null,
    kind           movement_kind   not null,
    status         movement_status not null,
    transaction_id varchar(100)    not null,
    product_id     varchar(100)    null,
    -- of the business fields; a tombstone and a restore have none
    request_hash   bytea           null,
    step           text            null,
    reply          text            null
);

-- A decrease without its movement, or a movement that was never recorded as a decrease, is the work of another program.
-- The first stops the migration; the second keeps its row. A restore is recorded in step_journal.
-- The time of a decision is that of the row, microseconds before the one in the journal.
insert into stock_movement (moved_at, quantity, attempt, epoch, hash_version, reply_form, from_saga, kind, status,
                            transaction_id, product_id, request_hash, step, reply)
select coalesce(m.moved_at, j.decided_at), m.quantity, j.attempt, j.epoch, coalesce(j.hash_version, 0),
       case when j.reply is null then 1 else 0 end, coalesce(j.from_saga, false), kind_text,
       case when m.quantity is not null then 'done' when j.tombstone then 'tombstone'
            when j.status = 409 then 'refused' end,
       transaction_id, m.product_id, j.request_hash, j.step, j.reply
  from (select *, kind::text as kind_text from movement_before) m
  full join (select *, case operation when 'decrease' then 'decrement' else operation end::text as kind_text
               from journal_before where operation <> 'restore') j using (transaction_id, kind_text);

create table step_journal (
    decided_at     timestamptz  not null default clock_timestamp(),
    attempt        integer      null,
    epoch          integer      null,
    from_saga      boolean      not null,
    transaction_id varchar(100) not null,
    operation      varchar(20)  not null,
    step           text         null,
    reply          text         not null
);

insert into step_journal (decided_at, attempt, epoch, from_saga, transaction_id, operation, step, reply)
select decided_at, attempt, epoch, from_saga, transaction_id, operation, step, reply
  from journal_before where operation = 'restore';

drop table movement_before, journal_before;
alter table stock_movement add primary key (transaction_id, kind);
alter table step_journal add primary key (transaction_id, operation);
analyze stock_movement, step_journal;

create view stock_difference as
select i.product_id,
       i.quantity,
       i.initial_quantity + coalesce(m.moved, 0) as expected
  from inventory_inventory i
  left join (select product_id,
                    sum(case kind when 'decrement' then -quantity::bigint else quantity end) as moved
               from stock_movement
              where status = 'done'
              group by product_id) m using (product_id)
 where i.quantity <> i.initial_quantity + coalesce(m.moved, 0);

-- All decisions of a transaction: of a decrease or restock with the columns of its answer, of a restore with the text.
create view journal as
select transaction_id, (case kind when 'decrement' then 'decrease' else 'restock' end)::varchar(20) as operation,
       (case status when 'done' then 200 else 409 end)::smallint as status,
       status = 'tombstone' as tombstone, moved_at as decided_at, request_hash, hash_version, reply_form, reply,
       from_saga, step, attempt, epoch, product_id, remaining
  from stock_movement
 where kind <> 'restore'
union all
select transaction_id, operation, 200::smallint, false, decided_at, null, 0::smallint, 0::smallint, reply,
       from_saga, step, attempt, epoch, null, null
  from step_journal;
