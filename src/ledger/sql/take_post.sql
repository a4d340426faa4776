-- The oldest message of a receiver, where it is due and nobody sends it: messages arrive in their order.
-- $1 receiver, $2 how long it is sent at most, $3 the longest wait, in ms: what is later than that was written
-- by a clock that was ahead and is right again; another process may take longer than $2
update outbox
set taken_until = {now} + $2, tries = tries + 1
where id = (select min(id) from outbox where receiver = $1)
    and (not_before <= {now} or not_before > {now} + $3)
    -- said of the row itself, so that of two that take it at the same time one gets none
    and (taken_until is null or taken_until <= {now} or taken_until > {now} + $3)
returning id, body, tries, {now} - made_at as age_ms
