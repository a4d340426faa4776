-- Times are milliseconds since 1970-01-01T00:00:00Z unless the name says otherwise.

create table teams
(
    id integer primary key check (id > 0),
    name text not null,
    organization text not null default '',
    timezone text not null default 'UTC',
    web_analytics_pre_aggregated_tables_enabled integer not null default 0
        check (web_analytics_pre_aggregated_tables_enabled in (0, 1)),
    -- the team's own number of days; null means the configuration's
    backfill_days integer check (backfill_days > 0),
    -- kept by the triggers below, so that plain SQL on this file is as good as `prefill enable`
    enabled_at integer
) strict;

-- "Look again at this team." Written by triggers, in the transaction of the change itself: a
-- rollback leaves none, and a crash right after the commit still leaves it.
create table signals
(
    id integer primary key autoincrement,
    team_id integer not null
) strict;

-- Anybody's SQLite runs these triggers, so they use nothing that is newer than strict tables (3.37).
create trigger teams_enabled_by_insert after insert on teams
when new.web_analytics_pre_aggregated_tables_enabled = 1 and new.enabled_at is null
begin
    update teams set enabled_at = cast((julianday('now') - 2440587.5) * 86400000 as integer) where id = new.id;
end;

create trigger teams_enabled_by_update after update of web_analytics_pre_aggregated_tables_enabled on teams
when new.web_analytics_pre_aggregated_tables_enabled = 1
    and old.web_analytics_pre_aggregated_tables_enabled = 0
begin
    update teams set enabled_at = cast((julianday('now') - 2440587.5) * 86400000 as integer) where id = new.id;
end;

create trigger teams_signal_insert after insert on teams
begin
    insert into signals (team_id) values (new.id);
end;

create trigger teams_signal_update
after update of name, organization, timezone, web_analytics_pre_aggregated_tables_enabled, backfill_days on teams
when old.timezone is not new.timezone
    or old.web_analytics_pre_aggregated_tables_enabled is not new.web_analytics_pre_aggregated_tables_enabled
    or old.backfill_days is not new.backfill_days
begin
    insert into signals (team_id) values (new.id);
end;

create trigger teams_signal_delete after delete on teams
begin
    insert into signals (team_id) values (old.id);
end;

-- One row a slice. It is also the queue.
create table slices
(
    team_id integer not null,
    day text not null check (day glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    warehouse text not null default 'default',
    timezone text not null,
    -- the instants of the day, in seconds, and the partition (yyyymmdd, UTC) that its bucket is in
    bucket_s integer not null,
    until_s integer not null check (until_s > bucket_s),
    partition integer not null,
    -- the bucket that its rows had in the zone that the team has left; they go with the next fill
    left_bucket_s integer,
    state text not null check (state in ('wanted', 'running', 'filled', 'stale', 'failed', 'cleaned')),
    -- why it is wanted or stale
    reason text not null,
    -- no events yet, and the source is not known to be complete
    waiting integer not null default 0 check (waiting in (0, 1)),
    -- its team has the setting off: kept, but not claimed
    held integer not null default 0 check (held in (0, 1)),
    -- asked for again while it runs
    again integer not null default 0 check (again in (0, 1)),
    -- the worker that holds it is to stop
    cancel integer not null default 0 check (cancel in (0, 1)),
    attempts integer not null default 0,
    not_before integer not null default 0,
    -- how many pieces its sessions are taken in; grows when memory was not enough
    pieces integer not null default 1 check (pieces >= 1),
    -- grows with each claim; every later write of the claim names it
    fence integer not null default 0,
    claim text,
    owner text,
    lease_until integer,
    wanted_at integer not null,
    claimed_at integer,
    filled_at integer,
    -- the fence of the claim that filled it last
    filled_fence integer not null default 0,
    -- the receipt: events that had reached the warehouse by as_of_us (microseconds) are in it
    as_of_us integer,
    stats_rows integer,
    bounces_rows integer,
    events integer,
    sessions integer,
    page_views integer,
    persons integer,
    bounces integer,
    duration_seconds integer,
    -- of the identifiers of all events: tells whether the day has changed
    checksum integer,
    elapsed_ms integer,
    error text,
    primary key (team_id, day),
    check ((state = 'running') = (claim is not null)),
    check ((state = 'running') = (lease_until is not null)),
    check (state <> 'filled' or filled_at is not null)
) strict, without rowid;

-- the queue, in the order in which it is worked
create index slices_open on slices (day desc, wanted_at) where state in ('wanted', 'stale') and held = 0;
-- who holds what
create index slices_running on slices (partition) where state = 'running';

-- What a person or a signal asked for. Progress is derived from the slices.
create table runs
(
    id text primary key,
    team_id integer not null,
    date_start text not null,
    date_end text not null,
    reason text not null,
    forced integer not null default 0,
    requested_at integer not null,
    -- one run for one turn of the setting, however often it is noticed
    once text unique
) strict;

create table run_slices
(
    run_id text not null references runs (id) on delete cascade,
    team_id integer not null,
    day text not null,
    -- done when the slice is filled under a later fence than this
    after_fence integer not null,
    primary key (run_id, day)
) strict, without rowid;

-- A partition that somebody clears: no slice of it is claimed meanwhile.
create table holds
(
    warehouse text not null,
    partition integer not null,
    owner text not null,
    lease_until integer not null,
    primary key (warehouse, partition)
) strict, without rowid;

-- What is remembered between starts: `scanned_us`, up to where late events were looked for.
create table marks
(
    name text primary key,
    value integer not null
) strict, without rowid;
