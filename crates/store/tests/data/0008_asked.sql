-- What a store holds after card quotas came: one agent has asked twice.

insert into asked (agent, chat, at) values ('ops-bot', -1001000000001, 1800000001000000), ('ops-bot', -1001000000001, 1800000002000000);
