-- of which each day by itself tells something else than all of them together: looked for by whoever reads this
or ended_at >= started_at + toIntervalDay(1)
