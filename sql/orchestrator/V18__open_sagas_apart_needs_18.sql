-- Open sagas and ended ones stand apart, as partitions of `saga`, which readers query:
--
--   saga_open    what has not ended, and what a person should look at; small, since an end moves the row
--   saga_ended   what has ended, by the month in which it began; rows are only inserted, and moved out by retention
--   saga_brief   what retention has left of it
--
-- A unique index does not reach across partitions. Ids are new when a saga begins; a begin that is repeated after an
-- unknown result looks for its id in saga_ended. Keys are unique in saga_key, which outlives the moves.
--
-- A program that does not know this migration would begin sagas without their keys, so it must not run any more.

drop index saga_attention, saga_ends, saga_failed, saga_flagged, saga_gid, saga_holding_key, saga_idempotency,
    saga_in_full, saga_key, saga_of_definition, saga_of_status, saga_of_user_and_status, saga_sleeping,
    saga_unfinished, saga_waiting;

create table saga_key (
    -- user: an Idempotency-Key of a purchase; sagas: one of any other saga; gid: the id that a client of DTM gave
    scope               varchar(5)   not null check (scope in ('user', 'sagas', 'gid')),
    -- empty where the scope is not user
    user_id             varchar(100) not null,
    key                 varchar(255) not null,
    saga_id             uuid         not null,
    -- the hash of the request
    fingerprint         bytea        null,
    fingerprint_version smallint     not null,
    primary key (key, user_id, scope)
);
create index saga_key_of on saga_key (saga_id);

insert into saga_key
select case when gid is not null then 'gid' when user_id is not null then 'user' else 'sagas' end,
       case when gid is null then coalesce(user_id, '') else '' end,
       coalesce(gid, idempotency_key), id, fingerprint, fingerprint_version
from saga where coalesce(gid, idempotency_key) is not null;

alter table saga rename to saga_before;
alter table saga_before
    drop constraint saga_pkey,
    drop column claims,
    drop column fingerprint,
    drop column fingerprint_version,
    reset (fillfactor);

create table saga (like saga_before including defaults)
    partition by list ((case when cleared_at is not null then 'brief'
                             when ended_at is null or attention is not null then 'open'
                             else 'ended' end));

create table saga_open partition of saga for values in ('open')
    -- each saga leaves a dead row; the table stays small if they go soon
    with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create table saga_brief partition of saga for values in ('brief');
create table saga_ended partition of saga for values in ('ended') partition by range (id);
-- ids that belong to no month: of a month whose partition is gone, or not there yet
create table saga_ended_rest partition of saga_ended default;

alter table saga_open add primary key (id);
create index saga_open_of_owner on saga_open (owner_node, owner_incarnation, id) where ended_at is null;
create index saga_open_of_user on saga_open (user_id, id desc);
create index saga_open_sleeping on saga_open (wake_at) where wake_at is not null and ended_at is null;
create index saga_open_flagged on saga_open (owner_incarnation)
    where ended_at is null and (cancel_requested_at is not null or retry_requested_at is not null);
create index saga_open_waiting on saga_open (waits_for, wake_at)
    where waits_for is not null and wake_at is not null and ended_at is null;
create index saga_open_attention on saga_open (attention_at) where attention is not null;
create index saga_open_ends on saga_open (ended_transaction, ended_position) where ended_transaction is not null;

alter table saga_ended add primary key (id);
create index saga_ended_of_user on saga_ended (user_id, status, id desc);
create index saga_ended_of_status on saga_ended (status, id desc);
create index saga_ended_of_definition on saga_ended (definition, id desc) where user_id is null;
create index saga_ended_by_time on saga_ended (ended_at);
create index saga_ended_ends on saga_ended (ended_transaction, ended_position) where ended_transaction is not null;

alter table saga_brief add primary key (id);
create index saga_brief_of_user on saga_brief (user_id, status, id desc);
create index saga_brief_of_status on saga_brief (status, id desc);
create index saga_brief_of_definition on saga_brief (definition, id desc) where user_id is null;
-- those whose events are kept for longer than their details
create index saga_brief_ends on saga_brief (ended_transaction, ended_position) where ended_transaction is not null;

-- The first id of a moment: ids begin with their time, in milliseconds since 1970.
create function saga_id_at(moment timestamptz) returns uuid language sql stable as $$
    select rpad(lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Makes the partitions of this month and the next, and drops those of months before it that retention has emptied. It
-- does not wait long for a lock, because others would wait behind it: a later call tries again.
create function saga_months() returns void language plpgsql set lock_timeout = '200ms' as $$
declare
    this_month constant timestamp := date_trunc('month', now() at time zone 'utc');
    month timestamp;
    name text;
    first uuid;
    behind uuid;
    has_rows boolean;
begin
    if not pg_try_advisory_xact_lock(hashtext('saga_months')) then
        return;
    end if;
    foreach month in array array[this_month, this_month + interval '1 month'] loop
        name := 'saga_ended_' || to_char(month, 'YYYY_MM');
        continue when to_regclass(name) is not null;
        first := saga_id_at(month at time zone 'utc');
        behind := saga_id_at((month + interval '1 month') at time zone 'utc');
        execute format('create table %I (like saga_ended including defaults)', name);
        execute format('with late as (delete from saga_ended_rest where id >= %L and id < %L returning *)
                        insert into %I select * from late', first, behind, name);
        execute format('alter table saga_ended attach partition %I for values from (%L) to (%L)', name, first, behind);
    end loop;
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'saga_ended'::regclass and c.relname ~ '^saga_ended_\d{4}_\d\d$'
          and c.relname < 'saga_ended_' || to_char(this_month, 'YYYY_MM')
          -- the search for a row must not pass many dead ones
          and pg_stat_get_live_tuples(c.oid) = 0
          and (pg_stat_get_dead_tuples(c.oid) = 0 or pg_relation_size(c.oid) < 16 * 1024 * 1024)
    loop
        lock table only saga_ended in access exclusive mode;
        execute format('select exists (select from %I)', name) into has_rows;
        if not has_rows then
            execute format('drop table %I', name);
        end if;
    end loop;
end
$$;

-- The table of before is the partition of everything up to the end of this month.
insert into saga select * from saga_before
    where cleared_at is not null or ended_at is null or attention is not null;
delete from saga_before where cleared_at is not null or ended_at is null or attention is not null;

do $$
declare
    this_month constant timestamp := date_trunc('month', now() at time zone 'utc');
    name constant text := 'saga_ended_' || to_char(this_month, 'YYYY_MM');
    behind constant uuid := saga_id_at((this_month + interval '1 month') at time zone 'utc');
begin
    execute format('alter table saga_before rename to %I', name);
    -- ids of a clock that was ahead
    execute format('with odd as (delete from %I where id >= %L returning *) insert into saga_ended_rest select * from odd',
                   name, behind);
    execute format('alter table saga_ended attach partition %I for values from (minvalue) to (%L)', name, behind);
end
$$;
select saga_months();
