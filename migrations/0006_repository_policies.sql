-- The policy that a managed repository carries itself: the last text that was valid, so that it routes also while the one on the branch is not,
-- across restarts and while the remote is away.
create table repository_policies (
    repository text    not null primary key,
    -- Null until one was valid.
    body       text,
    -- The commit at which that text was found.
    commit_id  text,
    at         integer not null,
    -- Names the trouble that people were told of; null while there is none.
    told       text
) strict;

-- What a new policy is replayed over: the last decisions of a repository.
create index proposals_decided on proposals (repository, decided_at) where decided_at is not null;
