-- Run once, by the first start of an empty PostgreSQL: the databases that every cluster has are open to every role, unless
-- that is taken back. `ecommerce migrate` makes the roles and databases of the services, and closes each to the others.
revoke connect, temporary on database postgres from public;
revoke connect, temporary on database template1 from public;
