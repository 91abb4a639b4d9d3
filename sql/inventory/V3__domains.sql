-- What quantities and kinds of movements may be, as domains: PostgreSQL keeps their rules ready in a session, but reads
-- those of a table anew for every statement. Without a rule at first, so that no table is written anew; what they hold is
-- checked when the rule comes.

create domain stock_quantity as integer;
create domain moved_quantity as integer;
create domain movement_kind as varchar(10);

-- It names columns whose types change; it comes back as it was.
drop view stock_difference;

alter table inventory_inventory
    drop constraint inventory_inventory_quantity_check,
    drop constraint inventory_inventory_initial_quantity_check,
    alter column quantity type stock_quantity,
    alter column initial_quantity type stock_quantity;

alter table stock_movement
    drop constraint stock_movement_kind_check,
    drop constraint stock_movement_quantity_check,
    alter column kind type movement_kind,
    alter column quantity type moved_quantity;

alter domain stock_quantity add check (value >= 0);
alter domain moved_quantity add check (value > 0);
alter domain movement_kind add check (value in ('decrement', 'restore', 'restock'));

create view stock_difference as
select i.product_id,
       i.quantity,
       i.initial_quantity + coalesce(m.moved, 0) as expected
  from inventory_inventory i
  left join (select product_id,
                    sum(case kind when 'decrement' then -quantity::bigint else quantity end) as moved
               from stock_movement
              group by product_id) m using (product_id)
 where i.quantity <> i.initial_quantity + coalesce(m.moved, 0);
