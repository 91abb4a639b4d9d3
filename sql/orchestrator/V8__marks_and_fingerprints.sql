-- Whether the mark for people outlives the end of its saga, until a person resolves it: it tells of something that no end
-- settles, such as something else that was done under the saga's key.
alter table saga add column attention_stays boolean not null default false;
-- Which list of fields the fingerprint was made from. What there was before this column is version 1.
alter table saga add column fingerprint_version smallint not null default 1;
