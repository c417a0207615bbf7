-- What a store holds after open paths came: one more proposal waits on a file that another one touches.

insert or ignore into open_paths (repository, branch, path, proposal)
    select 'homelab', 'main', open_paths.path, 'prp_01900000000070008000000000000004' from open_paths
    where open_paths.proposal = 'prp_01900000000070008000000000000001';
