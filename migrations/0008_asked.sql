-- When agents asked people, card by card: what the card quotas count. Rows are of use for an hour.
create table asked (
    agent text    not null,
    chat  integer not null,
    at    integer not null
) strict;

create index asked_by_agent on asked (agent, at);
create index asked_by_chat on asked (chat, at);
create index asked_by_age on asked (at);
