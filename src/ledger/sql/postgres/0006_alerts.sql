-- What people are told of, and what waits to be sent to them: ../0007_alerts.sql.

-- What kind of error the last try ended with, beside its text; nothing where nobody knows.
alter table slices add column error_class text;

-- What is wrong, or was until lately.
create table alerts
(
    key text primary key,
    -- what it is, as JSON
    about text not null,
    -- since when it is seen without a break
    since bigint not null,
    -- when it was last seen to be on its way to be right
    moved_at bigint,
    -- since when it is not seen any more
    gone_since bigint,
    -- when it was told last; null while it is too young to be told
    told_at bigint
);

-- Who does what only one of several processes should do.
create table turns
(
    name text primary key,
    owner text not null,
    until bigint not null
);

-- Messages, sent to each receiver in their order.
create table outbox
(
    id bigint primary key generated always as identity,
    receiver text not null,
    body text not null,
    made_at bigint not null,
    tries bigint not null default 0,
    not_before bigint not null default 0,
    -- somebody is sending it, unless he stopped without a word
    taken_until bigint
);

create index outbox_of_receiver on outbox (receiver, id);

-- What PostHog was told of a run: 0 nothing, 1 that it started, 2 that it failed, 3 that it is completed.
alter table runs add column captured bigint not null default 0 check (captured between 0 and 3);

create index runs_to_capture on runs (requested_at, id) where captured < 3;
