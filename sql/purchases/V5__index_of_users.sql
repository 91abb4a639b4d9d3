-- Ids grow, so a user's new entries come last and fill their pages. Lists read backwards.
drop index app_purchase_of_user;
create index app_purchase_of_user on app_purchase (user_id, id);

-- On a table that was empty at the last analyze all indexes cost the same, and then the planner takes the newest: for a
-- look-up by id that must be the primary key.
alter table app_purchase drop constraint app_purchase_pkey, add primary key (id);
