-- What a store holds since stops and digests have buttons: a stop that was told, and a digest of one run whose message Telegram never confirmed.

insert into posts (id, told, chat, thread, message, nonce, sent_at) values
    (1, '{"stop":1}', -1001000000001, null, 77, 'AAAAAAAAAAAAAAAAAAAAAQ', 1800000005000000),
    (2, null, -1001000000001, 5, null, 'AAAAAAAAAAAAAAAAAAAAAg', 1800000006000000);

insert into posted_runs (post, number, proposal) values (2, 0, 'prp_01900000000070008000000000000002');
