-- What an amount and a status may be, as domains: PostgreSQL keeps their rules ready in a session, but reads those of a
-- table anew for every statement. Without a rule at first, so that the table is not written anew; what it holds is checked
-- when the rule comes.

create domain purchase_amount as numeric(10,2);
create domain purchase_status as varchar(20);

alter table app_purchase
    drop constraint app_purchase_amount_check,
    drop constraint app_purchase_status_check,
    alter column amount type purchase_amount,
    alter column status type purchase_status;

alter domain purchase_amount add check (value > 0);
alter domain purchase_status add check (value in ('success', 'cancelled'));
