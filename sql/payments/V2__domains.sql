-- What an amount and a status may be, as domains: PostgreSQL keeps their rules ready in a session, but reads those of a
-- table anew for every statement. Without a rule at first, so that the table is not written anew; what it holds is checked
-- when the rule comes.

create domain payment_amount as numeric(10,2);
create domain payment_status as varchar(20);

alter table app_payment
    drop constraint app_payment_amount_check,
    drop constraint app_payment_status_check,
    alter column amount type payment_amount,
    alter column status type payment_status;

alter domain payment_amount add check (value > 0);
alter domain payment_status add check (value in ('success', 'error', 'compensated'));
