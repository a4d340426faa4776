-- The function of the triggers, with the triggers that call it, wherever they are.
-- $1 prefill's schema, $2 the teams table
select
    d.description as definition,
    quote_ident(g.tgname) as trigger,
    quote_ident(tn.nspname) || '.' || quote_ident(t.relname) as on_table,
    coalesce(g.tgrelid = to_regclass($2), false) as here,
    coalesce(g.tgenabled in ('O', 'A'), false) as at_work
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
left join pg_description d on d.objoid = p.oid and d.classoid = cast('pg_proc' as regclass)
left join pg_trigger g on g.tgfoid = p.oid
left join pg_class t on t.oid = g.tgrelid
left join pg_namespace tn on tn.oid = t.relnamespace
where n.nspname = $1 and p.proname = 'signal_other_team'
