-- What a status and a direction may be, as domains: PostgreSQL keeps their rules ready in a session, but reads those of a
-- table anew for every statement. Without a rule at first, so that the table is not written anew; what it holds is checked
-- when the rule comes.

create domain saga_status as varchar(12);
create domain saga_direction as varchar(12);

alter table saga
    drop constraint saga_status_check,
    drop constraint saga_direction_check,
    alter column status type saga_status,
    alter column direction type saga_direction;

alter domain saga_status add check (value in ('PENDING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'FAILED'));
alter domain saga_direction add check (value in ('forward', 'compensating'));
