-- The table that the teams' organization_id refers to, where it has a column `name` that may be read.
-- $1 the teams table
select
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as referenced,
    quote_ident(k.attname) as key,
    quote_ident(i.attname) as id
from pg_constraint f
join pg_class c on c.oid = f.confrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute k on k.attrelid = f.conrelid and k.attnum = f.conkey[1]
join pg_attribute i on i.attrelid = f.confrelid and i.attnum = f.confkey[1]
where f.contype = 'f' and f.conrelid = to_regclass($1)
    and cardinality(f.conkey) = 1 and k.attname = 'organization_id'
    and exists (
        select 1 from pg_attribute a
        where a.attrelid = c.oid and a.attname = 'name' and a.attnum > 0 and not a.attisdropped)
    and has_schema_privilege(n.oid, 'usage')
    and has_table_privilege(c.oid, 'select')
limit 1
