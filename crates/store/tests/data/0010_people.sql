-- What a store holds after decisions are timed: somebody looked for twelve seconds.

insert into decisions (proposal, person, at, approved, looked) values ('prp_01900000000070008000000000000002', 1001, 1800000005000000, 1, 12000000);
