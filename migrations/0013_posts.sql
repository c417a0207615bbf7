-- Messages with buttons that are no proposal's card: what tells of a stop or a lock, and the digests of runs that asked nobody.

-- `told` is JSON: the stop or lock; null for a digest. `message` is unknown until Telegram answered, or a tap revealed it.
create table posts (
    id      integer primary key autoincrement,
    told    text,
    chat    integer not null,
    thread  integer,
    message integer,
    nonce   text    not null unique,
    sent_at integer not null
) strict;

create index posts_by_told on posts (told) where told is not null;

-- The runs of a digest, in the order of its buttons.
create table posted_runs (
    post     integer not null references posts (id),
    number   integer not null,
    proposal text    not null references proposals (id),
    primary key (post, number)
) strict, without rowid;

create index posted_runs_by_proposal on posted_runs (proposal);
