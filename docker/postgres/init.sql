-- Run once, at the first start of an empty PostgreSQL. By default every role may connect to the databases that every
-- cluster has; this revokes it. `ecommerce migrate` creates the services' roles and databases and closes each to the others.
revoke connect, temporary on database postgres from public;
revoke connect, temporary on database template1 from public;
