-- The hash of the secret that a client sent with its saga (`Saga-Secret`); null: it sent none.
alter table saga add column secret_hash bytea null;
