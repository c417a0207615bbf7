-- Commits on guarded paths that no proposal and no observation explains. A row is kept until something explains it; it is settled once its
-- time to be explained is over and people were told (where they want to be).
create table unexplained (
    id           integer primary key autoincrement,
    repository   text    not null,
    commit_id    text    not null,
    brought_by   text    not null,
    author       text    not null,
    subject      text    not null,
    paths        text    not null,
    named        text    not null,
    committed_at integer not null,
    found_at     integer not null,
    settled      integer not null default 0,
    unique (repository, commit_id)
) strict;

create index unexplained_newest on unexplained (repository, id);
create index unexplained_unsettled on unexplained (repository, found_at) where settled = 0;
