-- What a store holds after codes are taken: alice's generator was used once and has a wrong code behind it, bob's is new.

insert into generators (person, name, salt, key_check, enrolled_at, last_step, last_used_at, wrong, wrong_since, locked_until) values
    (1001, 'alice', x'0707070707070707070707070707070707070707', x'0102030405060708', 1800000000000000, 60000001, 1800000030000000, 1, 1800000040000000, null),
    (1002, 'bob', x'0808080808080808080808080808080808080808', x'0102030405060708', 1800000001000000, 0, null, 0, null, null);
