-- What a store holds after the branch's history is looked at: one commit that people were told of, one that may still be explained.

insert into unexplained (repository, commit_id, brought_by, author, subject, paths, named, committed_at, found_at, settled) values
    ('homelab', '0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b', '0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b', 'Olivia', 'By hand', '["kubernetes/a.yaml"]', '[]', 1800000001000000, 1800000002000000, 1),
    ('homelab', '0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', '0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', 'Olivia', 'Again', '["kubernetes/b.yaml"]', '[]', 1800000003000000, 1800000004000000, 0);
