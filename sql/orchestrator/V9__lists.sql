-- Lists and their totals go by an index whatever the filter, so that what fits few sagas of very many is found at once.

-- what ended in one way, newest first; what has not ended is few, and `saga_unfinished` has it
create index saga_of_status on saga (status, id desc) where ended_at is not null;
-- a user's of one status, newest first. A user's of any status are read from it status by status, so it takes the place of
-- the index without one
create index saga_of_user_and_status on saga (user_id, status, id desc);
drop index saga_of_user;
