-- A repository whose policy is valid, and one whose policy never was.
insert into repository_policies (repository, body, commit_id, at, told) values
    ('homelab', 'version = 1', '0909090909090909090909090909090909090909', 1800000000000000, null),
    ('annex', null, null, 1800000000000000, '0909090909090909090909090909090909090909090909090909090909090909');
