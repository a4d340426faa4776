#!/bin/sh
# Makes the table of raw events when the server of compose.yaml starts for the first time. prefill makes
# no such table on a server, because there it is the product's.
set -eu
sed 's/{table}/events/' /opt/create_events.sql |
    clickhouse-client --user "$CLICKHOUSE_USER" --password "$(cat "$CLICKHOUSE_PASSWORD_FILE")" --multiquery
