-- What the proposals that are not on the branch yet would change: whoever decides on one is told of the others. A row leaves with the
-- push or the end, so that the question never meets history.
create table open_paths (
    repository text not null,
    branch     text not null,
    path       text not null,
    proposal   text not null references proposals (id),
    primary key (repository, branch, path, proposal)
) strict, without rowid;

create index open_paths_by_proposal on open_paths (proposal);

insert or ignore into open_paths (repository, branch, path, proposal)
    select proposals.repository, proposals.branch, touched.value, proposals.id
    from proposals, json_each(proposals.document, '$.revision.facts.paths') as touched
    where proposals.outcome is null and proposals.delivery not in ('pushed', 'syncing', 'ended');
