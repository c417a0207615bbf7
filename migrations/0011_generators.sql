-- Generators of codes: the second factor of people who approve on marked paths. Salts alone make no codes: the other half of every seed is a key
-- that the database does not hold.
create table generators (
    person       integer primary key,
    name         text    not null,
    salt         blob    not null,
    key_check    blob    not null,
    enrolled_at  integer not null,
    last_step    integer not null,
    last_used_at integer,
    wrong        integer not null,
    wrong_since  integer,
    locked_until integer
) strict;
