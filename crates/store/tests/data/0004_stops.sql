-- What a store holds after stops came: an ended and a standing stop, a freeze that was overridden, a lock that was restored and one that stands.

insert into stops (id, scope, by_id, by_name, at, reason, votes, ended_at) values
    (1, '{"kind":"all"}', 1001, 'alice', 1800000100000000, 'the disk is full', '[{"by":{"id":1001,"name":"alice"},"at":"2027-01-15T08:03:20Z"},{"by":{"id":1002,"name":"bob"},"at":"2027-01-15T08:05:00Z"}]', 1800000300000000),
    (2, '{"kind":"path","of":"kubernetes/**"}', 1002, 'bob', 1800000400000000, '', '[{"by":{"id":1002,"name":"bob"},"at":"2027-01-15T08:08:20Z"}]', null);

insert into overrides (proposal, freeze, by_id, by_name, at) values
    ('prp_01900000000070008000000000000001', 'weekend', 1001, 'alice', 1800000500000000);

insert into locks (id, person, name, at, votes, restored_at) values
    (1, 1001, 'alice', 1800000600000000, '[]', 1800000700000000),
    (2, 1001, 'alice', 1800000800000000, '[{"by":{"id":1002,"name":"bob"},"at":"2027-01-15T08:15:00Z"}]', null);
