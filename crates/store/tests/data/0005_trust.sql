-- What a store holds since trust acts: a promotion by hand, a run that asked nobody, a note that waits for its digest.

insert into grants (id, runbook, hash, repository, class, proposal, offered_at, granted_at, expires_at, declined_at, given) values
    (3, 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', null, 1800000900000000, 1800000900000000, 1907776300000000, null, 1);

insert into standard_runs (proposal, runbook, repository, target, at) values
    ('prp_01900000000070008000000000000002', 'scale', 'homelab', '["kubernetes/applications/web/values.yaml"]', 1800000004000000);

insert into digests (chat, thread, proposal, at) values
    (-1001000000001, 0, 'prp_01900000000070008000000000000002', 1800000004000000);
