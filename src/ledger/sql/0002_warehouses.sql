-- The name of the team's warehouse; null leaves it to the configuration.
alter table teams add column warehouse text;

drop trigger teams_signal_update;

create trigger teams_signal_update
after update of timezone, web_analytics_pre_aggregated_tables_enabled, backfill_days, warehouse on teams
when old.timezone is not new.timezone
    or old.web_analytics_pre_aggregated_tables_enabled is not new.web_analytics_pre_aggregated_tables_enabled
    or old.backfill_days is not new.backfill_days
    or old.warehouse is not new.warehouse
begin
    insert into signals (team_id) values (new.id);
end;

-- Each warehouse is looked at for itself.
update marks set name = 'scanned_us:default' where name = 'scanned_us';

-- A claim, and the wait for one, is of one warehouse.
drop index slices_open;

create index slices_open on slices (warehouse, day desc, wanted_at)
where state in ('wanted', 'stale') and held = 0;

drop index slices_running;

create index slices_running on slices (warehouse, partition) where state = 'running';
