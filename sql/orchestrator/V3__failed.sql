-- The few that failed among the many that did not, newest first: what an operator filters by.
create index saga_failed on saga (id desc) where status = 'FAILED';
