-- What people ordered about sending: stops, freezes that they let a change pass, and people who took their own rights away.
--
-- Every question is about what stands at the moment: partial indexes keep it apart from history.

-- Votes are JSON: who asked for the end, and when. An id is never given twice: people name it in their chat.
create table stops (
    id       integer primary key autoincrement,
    scope    text    not null,
    by_id    integer not null,
    by_name  text    not null,
    at       integer not null,
    reason   text    not null,
    votes    text    not null default '[]',
    ended_at integer
) strict;

create index stops_standing on stops (id) where ended_at is null;

-- One row per proposal and freeze that it may pass.
create table overrides (
    proposal text    not null references proposals (id),
    freeze   text    not null,
    by_id    integer not null,
    by_name  text    not null,
    at       integer not null,
    primary key (proposal, freeze)
) strict, without rowid;

-- People who locked themselves; at most one lock of each stands.
create table locks (
    id          integer primary key autoincrement,
    person      integer not null,
    name        text    not null,
    at          integer not null,
    votes       text    not null default '[]',
    restored_at integer
) strict;

create unique index locks_standing on locks (person) where restored_at is null;
