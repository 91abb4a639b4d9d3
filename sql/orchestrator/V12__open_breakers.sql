-- The operations whose circuit breaker is not closed on a node, such as payments.charge, as of its last heartbeat: where
-- another node does not list one, sagas that wait for it are handed over to that node. null: a node of an earlier
-- version, which does not say.
alter table node_lease add column open_breakers text[] null;
