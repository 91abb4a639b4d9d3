-- How a saga came to another owner, for people: one row a claim that found its owner gone. A saga that only slept and is
-- woken by its own process has none. Nearly all sagas keep the owner that began them, and epoch 1.

create table saga_takeover (
    saga_id     uuid         not null,
    -- the epoch that the claim gave it
    epoch       integer      not null,
    -- the new owner
    node        varchar(100) not null,
    at          timestamptz  not null,
    -- from the end of the old owner's lease; null where that is not known
    unowned_ms  bigint       null,
    primary key (saga_id, epoch)
);
