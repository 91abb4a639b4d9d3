-- Ids grow, so a user's new entries come last and fill their pages. Lists read backwards.
drop index app_purchase_of_user;
create index app_purchase_of_user on app_purchase (user_id, id);
