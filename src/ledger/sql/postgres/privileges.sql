-- What the user may do with the columns that are read of the teams table, one row each.
-- $1 the teams table, $2 the columns as a JSON array
select
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as on_table,
    has_table_privilege(c.oid, 'trigger') as may_trigger,
    quote_ident(a.attname) as name,
    has_column_privilege(c.oid, a.attnum, 'select') as may_select
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = to_regclass($1)
    and cast(a.attname as text) in (select value #>> '{}' from {rows $2})
order by a.attnum
