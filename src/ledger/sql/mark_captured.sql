-- $1 a JSON array of [run, what PostHog was told of it]
update runs
set captured = told.captured
from (select value ->> 0 as id, cast(value ->> 1 as bigint) as captured from {rows $1}) as told
where runs.id = told.id and runs.captured < told.captured
