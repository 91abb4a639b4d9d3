-- Smaller indexes. Programs of the version before run on beside it.

-- an incarnation is of one node
drop index saga_open_of_owner;
create index saga_open_of_owner on saga_open (owner_incarnation, id) where ended_at is null;

-- Ids grow, so new entries come last and fill their pages. Lists read backwards.
drop index saga_open_of_user;
create index saga_open_of_user on saga_open (user_id, id);

drop index saga_ended_of_user, saga_ended_of_status, saga_ended_of_definition;
create index saga_ended_of_user on saga_ended (user_id, status, id);
create index saga_ended_of_status on saga_ended (status, id);
create index saga_ended_of_definition on saga_ended (definition, id) where user_id is null;

drop index saga_brief_of_user, saga_brief_of_status, saga_brief_of_definition;
create index saga_brief_of_user on saga_brief (user_id, status, id);
create index saga_brief_of_status on saga_brief (status, id);
create index saga_brief_of_definition on saga_brief (definition, id) where user_id is null;

-- On a table that was empty at the last analyze all indexes cost the same, and then the planner takes the newest: for a
-- look-up by id that must be the primary key.
alter table saga_open drop constraint saga_open_pkey, add primary key (id);
alter table saga_ended drop constraint saga_ended_pkey, add primary key (id);
alter table saga_brief drop constraint saga_brief_pkey, add primary key (id);
