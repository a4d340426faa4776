-- Makes one row of the tallies of each team that has several. The transaction is the only one that
-- deletes any; what is added meanwhile is left for the next time.
with folded as
(
    delete from tallies
    where team_id in (select team_id from tallies group by team_id having count(*) > 1)
    returning *
)
insert into tallies
select team_id, sum(slices), sum(cleaned), sum(with_data), sum(stale), sum(failed), sum(running), sum(waiting),
    sum(page_views_weighed), sum(sessions_weighed)
from folded
group by team_id
