-- A commit can change more paths than are looked at: then nobody knows all that are guarded, and whoever reads the list is told.
alter table unexplained add column paths_cut integer not null default 0;
