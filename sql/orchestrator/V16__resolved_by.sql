-- Who settled the saga, as that person said; null: not said.
alter table saga add column resolved_by text null;
