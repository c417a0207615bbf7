-- The first schema. Words and closed sets are those of the domain crate; ids and hashes are text, so that an operator can read them in the
-- sqlite3 shell; times are microseconds since 1970 in UTC.
--
-- Hot questions never scan history: whatever is asked often about proposals under way has a partial index `where outcome is null`.

-- "CSGN": tells our files from other programs' databases.
pragma application_id = 1129531214;

-- One row per proposal. `document` is the whole proposal as JSON; the other columns repeat what is searched for.
create table proposals (
    id          text    not null primary key,
    version     integer not null,
    agent       text    not null,
    repository  text    not null,
    branch      text    not null,
    origin      text    not null,
    decision    text    not null,
    delivery    text    not null,
    outcome     text,
    created_at  integer not null,
    decided_at  integer,
    expires_at  integer not null,
    ended_at    integer,
    digest      text    not null,
    base        text    not null,
    commit_id   text,
    document    text    not null
) strict;

create index proposals_newest on proposals (created_at, id);
create index proposals_by_agent on proposals (agent, created_at, id);
create index proposals_by_short on proposals (substr(id, -6));
create index proposals_by_commit on proposals (repository, commit_id) where commit_id is not null;
create unique index proposals_observed on proposals (repository, commit_id) where origin = 'observed';
create index proposals_open_newest on proposals (created_at, id) where outcome is null;
create index proposals_open_by_agent on proposals (agent, digest, base) where outcome is null;
create index proposals_open_by_delivery on proposals (delivery, repository, branch, decided_at) where outcome is null;

create trigger proposals_outcome_is_final before update of outcome on proposals
when old.outcome is not null and new.outcome is not old.outcome
begin
    select raise(abort, 'an outcome is set once and never changed');
end;

create trigger proposals_stay before delete on proposals
begin
    select raise(abort, 'proposals are never deleted: retention removes contents only');
end;

-- Every revision a proposal ever had: number, author, base, digest, route.
create table revisions (
    proposal text    not null references proposals (id),
    number   integer not null,
    document text    not null,
    primary key (proposal, number)
) strict, without rowid;

-- The full contents of each revision. The only table of a proposal that retention empties.
create table contents (
    proposal text    not null references proposals (id),
    number   integer not null,
    body     text    not null,
    primary key (proposal, number)
) strict;

-- The audit log: a hash chain from row 1, without gaps. See crates/store/src/audit.rs for what the hash covers.
create table audit (
    seq        integer not null primary key,
    proposal   text    references proposals (id),
    at         integer not null,
    actor      text    not null,
    actor_id   text    not null,
    actor_name text    not null,
    event      text    not null,
    summary    text    not null,
    details    text    not null,
    hash       text    not null
) strict;

create index audit_by_proposal on audit (proposal, seq) where proposal is not null;

create trigger audit_is_append_only_update before update on audit
begin
    select raise(abort, 'the audit log is append-only');
end;

create trigger audit_is_append_only_delete before delete on audit
begin
    select raise(abort, 'the audit log is append-only');
end;

-- Where the log ends: shows a tail that was cut off.
create table audit_head (
    one  integer not null primary key check (one = 1),
    rows integer not null,
    hash text    not null
) strict;

insert into audit_head (one, rows, hash) values (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Effects owed to the world. A row waits (no lease), runs (lease) or is parked; a finished one is deleted, the audit log tells of it.
-- Ids are never used twice, so that a late answer of a stalled worker cannot hit another effect.
create table outbox (
    effect_id    integer primary key autoincrement,
    proposal     text    references proposals (id),
    key          text    not null,
    effect       text    not null,
    due          integer not null,
    attempts     integer not null default 0,
    leased_until integer,
    parked       integer not null default 0,
    error        text
) strict;

create unique index outbox_waiting on outbox (ifnull(proposal, ''), key, effect) where leased_until is null and parked = 0;
create index outbox_due on outbox (key, due) where leased_until is null and parked = 0;
create index outbox_next on outbox (due) where leased_until is null and parked = 0;
create index outbox_running on outbox (ifnull(proposal, ''), key, leased_until) where leased_until is not null and parked = 0;
create index outbox_parked on outbox (ifnull(proposal, ''), effect_id) where parked = 1;

-- Cards and notes on Telegram, one row per attempt to send.
create table cards (
    id            integer primary key autoincrement,
    proposal      text    not null references proposals (id),
    revision      integer not null,
    digest        text    not null,
    chat          integer not null,
    thread        integer,
    message       integer,
    document      integer,
    nonce         text    not null unique,
    attempt       integer not null,
    kind          text    not null,
    state         text    not null,
    shown_version integer not null,
    sent_at       integer not null
) strict;

create index cards_by_proposal on cards (proposal, id);
create index cards_by_message on cards (chat, message) where message is not null;
create index cards_by_chat on cards (chat, sent_at);

-- Answers to creating calls, replayed for a day.
create table answers (
    agent     text    not null,
    key       text    not null,
    body_hash text    not null,
    status    integer not null,
    body      text    not null,
    etag      text,
    location  text,
    at        integer not null,
    primary key (agent, key)
) strict;

create index answers_by_age on answers (at);

-- Telegram updates that were taken in.
create table updates (
    update_id integer not null primary key,
    at        integer not null
) strict;

create index updates_by_age on updates (at);

-- Agents. Of a token only the SHA-256 is stored; it is found by its first digits and compared in constant time.
create table agents (
    name         text    not null primary key,
    token_prefix text    not null,
    token_hash   text    not null,
    scopes       text    not null,
    created_at   integer not null,
    expires_at   integer,
    revoked_at   integer,
    last_used_at integer
) strict;

create index agents_by_token on agents (token_prefix);

-- Small values that outlive restarts: the poll offset, chat migrations.
create table meta (
    key   text not null primary key,
    value text not null
) strict, without rowid;
