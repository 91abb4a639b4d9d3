-- The role of the PostgreSQL exporter: it reads statistics and no data. Run again, it takes a changed password.
\getenv password MONITOR_DB_PASSWORD
select 'create role monitor' where not exists (select from pg_roles where rolname = 'monitor') \gexec
alter role monitor with login nosuperuser nocreatedb nocreaterole connection limit 5 password :'password';
grant pg_monitor to monitor;
grant connect on database postgres to monitor;
