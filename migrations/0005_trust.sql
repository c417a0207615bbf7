-- What acts on the trust ledger: promotions that a human wrote without an offer, runs that went out without asking anybody, and
-- notes that wait for a digest.

-- 1: a human gave it by hand; 0: an offer that was accepted.
alter table grants add column given integer not null default 0;

-- What a runbook's limits count: runs that asked nobody, from their call on.
create table standard_runs (
    proposal   text    not null primary key references proposals (id),
    runbook    text    not null,
    repository text    not null,
    target     text    not null,
    at         integer not null
) strict;

create index standard_runs_by_runbook on standard_runs (runbook, repository, at);

-- Notes of standard runs that wait until a chat wants to be told. Thread 0 is none.
create table digests (
    chat     integer not null,
    thread   integer not null,
    proposal text    not null references proposals (id),
    at       integer not null,
    primary key (chat, thread, proposal)
) strict;

-- What went wrong is found however many runs came after it.
create index trials_wrong on trials (hash, repository, class, started_at) where result not in ('open', 'succeeded') or reverted_at is not null;
