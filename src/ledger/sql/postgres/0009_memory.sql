-- How long fills have waited for memory, since this was counted.
alter table governors
    add column waited_for_memory_ms bigint not null default 0 check (waited_for_memory_ms >= 0);
