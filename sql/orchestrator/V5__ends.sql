-- That only an end has a time is no CHECK any more: PostgreSQL reads a CHECK anew for every statement that writes the
-- table, and a rule about two columns cannot be a domain's. Whatever writes `ended_at` writes the status with it, and
-- `audit` finds a saga that has ended as anything else.
alter table saga drop constraint saga_check;
