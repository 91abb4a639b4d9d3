-- Recovery: deaths of a saga's own actor are counted instead of claims, a process's rows are listed in the order of their
-- ids, and nodes publish the definitions that they know.

alter table saga
    -- how often the saga's own actor died since its last awaited write: one that kills its actors goes to attention.
    -- `claims` is not counted any more; nodes of an earlier version still write it.
    add column deaths integer not null default 0,
    -- whether the attention mark is about the lack of an owner that can run the saga: its next awaited write clears it
    add column attention_until_write boolean not null default false;

-- Marks of the counter that was.
update saga set attention_until_write = true
where ended_at is null and attention like 'claimed % times without progress';

-- The definitions that a node knows, as name/version; null: a node of an earlier version, which does not say.
alter table node_lease
    add column definitions text[] null,
    -- when its process gave it up because it stops: its sagas are free at once
    add column given_up_at timestamptz null;

-- Recovery lists the rows of one process page by page, by id.
drop index saga_unfinished;
create index saga_unfinished on saga (owner_node, owner_incarnation, id) where ended_at is null;
