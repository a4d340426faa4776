-- Claims whose worker gave no sign of life in time.
select distinct claim
from slices
where state = 'running' and lease_until <= cast(unixepoch('subsec') * 1000 as integer)
