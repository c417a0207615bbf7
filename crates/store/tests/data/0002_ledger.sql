-- What a store holds after the ledger came: trials of both sources and three results, an ended and an open offer, demotions, holds, shadows.

insert into trials (proposal, runbook, hash, repository, class, target, tier, committed_at, reported_at, verified, parameters, started_at, closes_at, result, settled_at, reverted_at) values
    ('prp_01900000000070008000000000000002', 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', '["kubernetes/applications/web/values.yaml"]', 'standard', null, null, null, '{"replicas":3}', 1800000004000000, 1800086404000000, 'open', null, null),
    ('prp_01900000000070008000000000000003', 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', '["kubernetes/applications/web/values.yaml"]', 'standard', 1800000001000000, 1800000003000000, 1, '{"replicas":4}', 1800000003000000, 1800086403000000, 'succeeded', 1800000600000000, null),
    ('prp_01900000000070008000000000000006', 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', '["kubernetes/applications/db/values.yaml"]', 'prompted', null, null, null, '{"replicas":2}', 1800000006000000, 1800086406000000, 'reverted', 1800000700000000, 1800000700000000);

insert into grants (id, runbook, hash, repository, class, proposal, offered_at, granted_at, expires_at, declined_at) values
    (1, 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', 'prp_01900000000070008000000000000001', 1800000100000000, 1800000200000000, 1807776100000000, null),
    (2, 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', null, 1800000300000000, null, 1807776300000000, null);

insert into demotions (id, runbook, hash, repository, class, at, tier, cause, proposal, by_id, by_name, lifted_at, lifted_by) values
    (1, 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', 1800000700000000, 'prompted', 'revert', 'prp_01900000000070008000000000000006', null, null, null, null),
    (2, 'scale', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', 1800000800000000, 'manual', 'human', null, 1001, 'alice', 1800000900000000, 1002);

insert into holds (id, runbook, repository, path, since, proposal, lifted_at, lifted_by) values
    (1, 'scale', 'homelab', 'kubernetes/applications/db/values.yaml', 1800000650000000, null, 1800000660000000, 1001),
    (2, 'scale', 'homelab', 'kubernetes/applications/db/values.yaml', 1800000700000000, 'prp_01900000000070008000000000000006', null, null);

insert into shadows (proposal, hash, repository, class, alone) values
    ('prp_01900000000070008000000000000001', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', 1),
    ('prp_01900000000070008000000000000005', '0909090909090909090909090909090909090909090909090909090909090909', 'homelab', 'production', 1);
