-- Run in a transaction whose search_path is prefill's schema. Times are milliseconds since
-- 1970-01-01T00:00:00Z unless the name says otherwise; flags are 0 or 1, as on SQLite, so that the
-- statements are the same. The columns are told apart and explained in ../0001_ledger.sql.

create table teams
(
    id bigint primary key check (id > 0),
    name text not null,
    organization text not null default '',
    timezone text not null default 'UTC',
    web_analytics_pre_aggregated_tables_enabled bigint not null default 0
        check (web_analytics_pre_aggregated_tables_enabled in (0, 1)),
    backfill_days bigint check (backfill_days > 0),
    enabled_at bigint,
    warehouse text
);

-- "Look again at this team." Written by triggers, in the transaction of the change itself.
create table signals
(
    id bigint generated always as identity primary key,
    team_id bigint not null
);

create function turn_on() returns trigger
language plpgsql
as $$
begin
    new.enabled_at := cast(extract(epoch from clock_timestamp()) * 1000 as bigint);
    return new;
end
$$;

create trigger teams_enabled_by_insert before insert on teams
for each row when (new.web_analytics_pre_aggregated_tables_enabled = 1 and new.enabled_at is null)
execute function turn_on();

create trigger teams_enabled_by_update before update on teams
for each row when (new.web_analytics_pre_aggregated_tables_enabled = 1
    and old.web_analytics_pre_aggregated_tables_enabled = 0)
execute function turn_on();

-- Whoever may change a team need not have rights on the signals.
create function signal_team() returns trigger
language plpgsql
security definer
set search_path from current
as $$
begin
    insert into signals (team_id) values (case when tg_op = 'DELETE' then old.id else new.id end);
    perform pg_notify('prefill_' || tg_table_schema, '');
    return null;
end
$$;

create trigger teams_signal_insert after insert on teams
for each row execute function signal_team();

create trigger teams_signal_update after update on teams
for each row when (old.timezone is distinct from new.timezone
    or old.web_analytics_pre_aggregated_tables_enabled is distinct from new.web_analytics_pre_aggregated_tables_enabled
    or old.backfill_days is distinct from new.backfill_days
    or old.warehouse is distinct from new.warehouse)
execute function signal_team();

create trigger teams_signal_delete after delete on teams
for each row execute function signal_team();

create table slices
(
    team_id bigint not null,
    -- compared as text, byte by byte
    day text collate "C" not null check (day like '____-__-__'),
    warehouse text not null default 'default',
    timezone text not null,
    bucket_s bigint not null,
    until_s bigint not null check (until_s > bucket_s),
    partition bigint not null,
    left_bucket_s bigint,
    state text not null check (state in ('wanted', 'running', 'filled', 'stale', 'failed', 'cleaned')),
    reason text not null,
    waiting bigint not null default 0 check (waiting in (0, 1)),
    held bigint not null default 0 check (held in (0, 1)),
    again bigint not null default 0 check (again in (0, 1)),
    cancel bigint not null default 0 check (cancel in (0, 1)),
    attempts bigint not null default 0,
    not_before bigint not null default 0,
    pieces bigint not null default 1 check (pieces >= 1),
    fence bigint not null default 0,
    claim text,
    owner text,
    lease_until bigint,
    wanted_at bigint not null,
    claimed_at bigint,
    filled_at bigint,
    filled_fence bigint not null default 0,
    as_of_us bigint,
    stats_rows bigint,
    bounces_rows bigint,
    events bigint,
    sessions bigint,
    page_views bigint,
    persons bigint,
    bounces bigint,
    duration_seconds bigint,
    checksum bigint,
    elapsed_ms bigint,
    error text,
    primary key (team_id, day),
    check ((state = 'running') = (claim is not null)),
    check ((state = 'running') = (lease_until is not null)),
    check (state <> 'filled' or filled_at is not null)
);

-- in the order in which slices are claimed
create index slices_open on slices (warehouse, waiting, day desc, wanted_at, team_id)
where state in ('wanted', 'stale') and held = 0;

create index slices_together on slices (warehouse, bucket_s, until_s)
where state in ('wanted', 'stale') and held = 0;

create index slices_running on slices (warehouse, partition) where state = 'running';

-- Those that run and move from one partition to another.
create index slices_moving on slices (warehouse) where state = 'running' and left_bucket_s is not null;

create index slices_claimed on slices (claim) where claim is not null;

create table runs
(
    id text primary key,
    team_id bigint not null,
    date_start text collate "C" not null,
    date_end text collate "C" not null,
    reason text not null,
    forced bigint not null default 0,
    requested_at bigint not null,
    once text unique
);

create index runs_latest on runs (requested_at desc, id);

create table run_slices
(
    run_id text not null,
    team_id bigint not null,
    day text collate "C" not null,
    after_fence bigint not null,
    primary key (run_id, day)
);

create table holds
(
    warehouse text not null,
    partition bigint not null,
    owner text not null,
    lease_until bigint not null,
    primary key (warehouse, partition)
);

create table marks
(
    name text primary key,
    value bigint not null
);
