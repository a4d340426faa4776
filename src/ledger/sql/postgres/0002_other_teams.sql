-- Teams may be the rows of somebody else's table: then what prefill has to know of them beyond that
-- table is kept here.
create table team_state
(
    team_id bigint primary key,
    -- as the table was when it was last looked at: a difference is a change
    enabled bigint not null check (enabled in (0, 1)),
    timezone text not null,
    backfill_days bigint,
    warehouse text,
    -- when the setting was last turned on
    enabled_at bigint
);

-- When the setting was turned on by the change that is signalled; null for any other change.
alter table signals add column turned_on_at bigint;

create index signals_of_team on signals (team_id);
