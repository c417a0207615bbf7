-- What a store holds since lists say where they are cut: a commit of more paths than were looked at.

insert into unexplained (repository, commit_id, brought_by, author, subject, paths, named, committed_at, found_at, settled, paths_cut) values
    ('homelab', '0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', '0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', 'Olivia', 'All at once', '[]', '[]', 1800000005000000, 1800000006000000, 0, 1);
