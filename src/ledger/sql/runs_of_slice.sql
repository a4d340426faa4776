-- The latest runs that a slice belongs to. $1 team, $2 day, $3 the most runs
select r.*, case when s.filled_fence > w.after_fence then 1 else 0 end as is_done
from runs r
join run_slices w on w.run_id = r.id and w.day = $2
left join slices s on s.team_id = w.team_id and s.day = w.day
where r.team_id = $1
order by r.requested_at desc, r.id
limit $3
