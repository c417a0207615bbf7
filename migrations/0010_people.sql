-- How people decide: what brings back the second step for those who no longer look, and what each of them can read about themselves.
create table decisions (
    proposal text    not null references proposals (id),
    person   integer not null,
    at       integer not null,
    approved integer not null,
    looked   integer not null
) strict;

create index decisions_by_person on decisions (person, at);

-- When the card took the form that it has; null in what older versions sent.
alter table cards add column shown_at integer;
