-- The trust ledger: runs of runbooks as evidence, what was granted and taken away, and holds after reverts.
--
-- A record belongs to (hash, repository, class): an edit of a runbook makes another hash, and so another record. What is asked for every run
-- is found through these columns; what is under way (open trials, standing holds, an open offer) has partial indexes.

-- One row per run that reached the branch.
create table trials (
    proposal     text    not null primary key references proposals (id),
    runbook      text    not null,
    hash         text    not null,
    repository   text    not null,
    class        text    not null,
    target       text    not null,
    tier         text    not null,
    committed_at integer,
    reported_at  integer,
    verified     integer,
    parameters   text    not null,
    started_at   integer not null,
    closes_at    integer not null,
    result       text    not null,
    settled_at   integer,
    reverted_at  integer
) strict;

create index trials_by_record on trials (hash, repository, class, started_at);
create index trials_by_runbook on trials (runbook, repository, started_at);
create index trials_open on trials (closes_at) where result = 'open';

-- A failure stays one: only an open trial, or a success within its window, gets another result.
create trigger trials_failures_stay before update of result on trials
when old.result not in ('open', 'succeeded') and new.result is not old.result
begin
    select raise(abort, 'the failure of a trial is final');
end;

-- Promotions: offered on a card, granted when the commit to the policy landed, or turned down.
create table grants (
    id          integer primary key,
    runbook     text    not null,
    hash        text    not null,
    repository  text    not null,
    class       text    not null,
    proposal    text    references proposals (id),
    offered_at  integer not null,
    granted_at  integer,
    expires_at  integer not null,
    declined_at integer
) strict;

create index grants_by_record on grants (hash, repository, class, offered_at);
create unique index grants_open on grants (hash, repository, class) where granted_at is null and declined_at is null;

-- Tiers that were taken away.
create table demotions (
    id         integer primary key,
    runbook    text    not null,
    hash       text    not null,
    repository text    not null,
    class      text    not null,
    at         integer not null,
    tier       text    not null,
    cause      text    not null,
    proposal   text    references proposals (id),
    by_id      integer,
    by_name    text,
    lifted_at  integer,
    lifted_by  integer
) strict;

create index demotions_by_record on demotions (hash, repository, class, at);

-- After a revert: this runbook, whatever its hash, does not run on this path.
create table holds (
    id         integer primary key,
    runbook    text    not null,
    repository text    not null,
    path       text    not null,
    since      integer not null,
    proposal   text    references proposals (id),
    lifted_at  integer,
    lifted_by  integer
) strict;

create unique index holds_standing on holds (runbook, repository, path) where lifted_at is null;

-- What a run that still asked people would have done by itself; what they decided is in `proposals`.
create table shadows (
    proposal   text    not null primary key references proposals (id),
    hash       text    not null,
    repository text    not null,
    class      text    not null,
    alone      integer not null
) strict;

create index shadows_by_record on shadows (hash, repository, class, alone);
