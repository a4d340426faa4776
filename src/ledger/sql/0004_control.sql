-- What people stop, and how much of a team is filled at once.

-- Somebody told prefill to claim nothing of a team for now; team 0 stands for all of them.
create table pauses
(
    team_id integer primary key,
    paused_at integer not null
) strict;

alter table runs add column paused_at integer;
alter table runs add column cancelled_at integer;

create index runs_of_team on runs (team_id);
create index runs_paused on runs (team_id) where paused_at is not null;
create index runs_cancelled on runs (team_id) where cancelled_at is not null;

-- A slice is done for a run when it was filled under a later fence than the run began with.
create view paused_slices as
select s.team_id, s.day
from slices s
where exists (select 1 from pauses p where p.team_id = 0 or p.team_id = s.team_id)
    or exists (
        select 1 from runs r
        join run_slices w on w.run_id = r.id and w.day = s.day
        where r.paused_at is not null and r.team_id = s.team_id and s.filled_fence <= w.after_fence);

-- What a run that is not cancelled still waits for.
create view asked_slices as
select s.team_id, s.day
from slices s
where exists (
    select 1 from runs r
    join run_slices w on w.run_id = r.id and w.day = s.day
    where r.cancelled_at is null and r.team_id = s.team_id and s.filled_fence <= w.after_fence);

-- What the tables have never held, of a run that was cancelled, and of no run that still wants it.
create view cancelled_slices as
select s.team_id, s.day
from slices s
where s.filled_at is null
    and exists (
        select 1 from runs r
        join run_slices w on w.run_id = r.id and w.day = s.day
        where r.cancelled_at is not null and r.team_id = s.team_id and s.filled_fence <= w.after_fence)
    and not exists (select 1 from asked_slices a where a.team_id = s.team_id and a.day = s.day);

-- How much of a team is filled at once, where all was too much for the warehouse's limits.
create table widths
(
    warehouse text not null,
    team_id integer not null,
    -- the most teams that are filled together with it
    together integer not null check (together >= 1),
    -- how many pieces a day's sessions are taken in; more than one only of a team that is alone
    pieces integer not null check (pieces >= 1 and (pieces = 1 or together = 1)),
    -- since when
    since integer not null,
    primary key (warehouse, team_id)
) strict, without rowid;

insert into widths (warehouse, team_id, together, pieces, since)
select warehouse, team_id, 1, max(pieces), cast(unixepoch('subsec') * 1000 as integer) from slices where pieces > 1 group by warehouse, team_id;

alter table slices drop column pieces;

-- What is tried now: after two weeks, one step more.
create view widths_now as
select warehouse, team_id,
    case when is_old = 1 and pieces = 1 then together * 2 else together end as together,
    case when is_old = 1 and pieces > 1 then pieces / 2 else pieces end as pieces,
    is_old as is_wider
from (select *, case when since <= cast(unixepoch('subsec') * 1000 as integer) - 14 * 86400000 then 1 else 0 end as is_old from widths) aged;
