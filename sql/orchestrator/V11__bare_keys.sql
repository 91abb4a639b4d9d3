-- Idempotency keys are kept without the quotes in which some clients send them: both forms are one key. Where a user has
-- both, the older saga keeps the key; that of the younger one is released, as retention would do it.

with quoted as (
    select id, user_id, created_at,
           regexp_replace(substr(idempotency_key, 2, length(idempotency_key) - 2), '\\(["\\])', '\1', 'g') as bare
      from saga where idempotency_key ~ '^"([^"\\]|\\["\\])*[^[:space:]"\\]([^"\\]|\\["\\])*"$'
), younger as (
    select case when (q.created_at, q.id) > (b.created_at, b.id) then q.id else b.id end as id
      from quoted q join saga b on b.user_id = q.user_id and b.idempotency_key = q.bare
)
update saga s set idempotency_key = null, fingerprint = null from younger where s.id = younger.id;

update saga
   set idempotency_key =
       regexp_replace(substr(idempotency_key, 2, length(idempotency_key) - 2), '\\(["\\])', '\1', 'g')
 where idempotency_key ~ '^"([^"\\]|\\["\\])*[^[:space:]"\\]([^"\\]|\\["\\])*"$';
