-- Ends a statement that takes stock without having looked, when less was there than it wants. The transaction is rolled back
-- and run again, as after a lost race, and then it looks first.
create function stock_must_be_there(is_there boolean) returns boolean language plpgsql as $$
begin
    if not is_there then
        raise serialization_failure using message = 'there is less stock than was last seen';
    end if;
    return true;
end $$;
