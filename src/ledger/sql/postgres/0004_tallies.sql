-- How many slices each team has of which kind: ../0005_tallies.sql. Here a team has any number of rows,
-- of which the sums count, since workers that change slices of one team at the same time would wait for
-- each other's row, or for good. fold_tallies.sql makes them one again.
create table tallies
(
    team_id bigint not null,
    slices bigint not null,
    cleaned bigint not null,
    with_data bigint not null,
    stale bigint not null,
    failed bigint not null,
    running bigint not null,
    waiting bigint not null,
    page_views_weighed bigint not null,
    sessions_weighed bigint not null
);

create index tallies_of_team on tallies (team_id);

create function tally_insert() returns trigger
language plpgsql
set search_path from current
as $$
begin
    insert into tallies
    select team_id, sum(sign),
        coalesce(sum(sign) filter (where state = 'cleaned'), 0),
        coalesce(sum(sign) filter (where has_data), 0),
        coalesce(sum(sign) filter (where state = 'stale'), 0),
        coalesce(sum(sign) filter (where state = 'failed'), 0),
        coalesce(sum(sign) filter (where state = 'running'), 0),
        sum(sign * waiting),
        coalesce(sum(sign * page_views * (bucket_s / 900 % 4093)) filter (where has_data), 0),
        coalesce(sum(sign * sessions * (bucket_s / 900 % 4093)) filter (where has_data), 0)
    from (select 1 as sign, team_id, state, waiting, bucket_s, page_views, sessions, filled_at is not null and left_bucket_s is null as has_data from new_rows) changed
    group by team_id;
    return null;
end
$$;

-- Most updates only prolong a lease, and leave nothing here.
create function tally_update() returns trigger
language plpgsql
set search_path from current
as $$
begin
    insert into tallies
    select team_id, sum(sign),
        coalesce(sum(sign) filter (where state = 'cleaned'), 0),
        coalesce(sum(sign) filter (where has_data), 0),
        coalesce(sum(sign) filter (where state = 'stale'), 0),
        coalesce(sum(sign) filter (where state = 'failed'), 0),
        coalesce(sum(sign) filter (where state = 'running'), 0),
        sum(sign * waiting),
        coalesce(sum(sign * page_views * (bucket_s / 900 % 4093)) filter (where has_data), 0),
        coalesce(sum(sign * sessions * (bucket_s / 900 % 4093)) filter (where has_data), 0)
    from (
        select 1 as sign, team_id, state, waiting, bucket_s, page_views, sessions, filled_at is not null and left_bucket_s is null as has_data from new_rows
        union all
        select -1 as sign, team_id, state, waiting, bucket_s, page_views, sessions, filled_at is not null and left_bucket_s is null as has_data from old_rows
    ) changed
    group by team_id
    having sum(sign) <> 0
        or coalesce(sum(sign) filter (where state = 'cleaned'), 0) <> 0
        or coalesce(sum(sign) filter (where has_data), 0) <> 0
        or coalesce(sum(sign) filter (where state = 'stale'), 0) <> 0
        or coalesce(sum(sign) filter (where state = 'failed'), 0) <> 0
        or coalesce(sum(sign) filter (where state = 'running'), 0) <> 0
        or sum(sign * waiting) <> 0
        or coalesce(sum(sign * page_views * (bucket_s / 900 % 4093)) filter (where has_data), 0) <> 0
        or coalesce(sum(sign * sessions * (bucket_s / 900 % 4093)) filter (where has_data), 0) <> 0;
    return null;
end
$$;

create function tally_delete() returns trigger
language plpgsql
set search_path from current
as $$
begin
    insert into tallies
    select team_id, sum(sign),
        coalesce(sum(sign) filter (where state = 'cleaned'), 0),
        coalesce(sum(sign) filter (where has_data), 0),
        coalesce(sum(sign) filter (where state = 'stale'), 0),
        coalesce(sum(sign) filter (where state = 'failed'), 0),
        coalesce(sum(sign) filter (where state = 'running'), 0),
        sum(sign * waiting),
        coalesce(sum(sign * page_views * (bucket_s / 900 % 4093)) filter (where has_data), 0),
        coalesce(sum(sign * sessions * (bucket_s / 900 % 4093)) filter (where has_data), 0)
    from (select -1 as sign, team_id, state, waiting, bucket_s, page_views, sessions, filled_at is not null and left_bucket_s is null as has_data from old_rows) changed
    group by team_id;
    return null;
end
$$;

create trigger slices_tally_insert after insert on slices
referencing new table as new_rows
for each statement execute function tally_insert();

create trigger slices_tally_update after update on slices
referencing new table as new_rows old table as old_rows
for each statement execute function tally_update();

create trigger slices_tally_delete after delete on slices
referencing old table as old_rows
for each statement execute function tally_delete();

insert into tallies
select team_id, sum(sign),
    coalesce(sum(sign) filter (where state = 'cleaned'), 0),
    coalesce(sum(sign) filter (where has_data), 0),
    coalesce(sum(sign) filter (where state = 'stale'), 0),
    coalesce(sum(sign) filter (where state = 'failed'), 0),
    coalesce(sum(sign) filter (where state = 'running'), 0),
    sum(sign * waiting),
    coalesce(sum(sign * page_views * (bucket_s / 900 % 4093)) filter (where has_data), 0),
    coalesce(sum(sign * sessions * (bucket_s / 900 % 4093)) filter (where has_data), 0)
from (select 1 as sign, team_id, state, waiting, bucket_s, page_views, sessions, filled_at is not null and left_bucket_s is null as has_data from slices) changed
group by team_id;

create index slices_with_data on slices (team_id, day) where filled_at is not null and left_bucket_s is null;

create index slices_failed on slices (team_id, day) where state = 'failed';
