"""The embedded engine as Python's clickhouse-connect sees it: a client that is not ours.

Run by engine_foreign_client.rs with the engine's address in the environment.
"""

import os
import uuid
from datetime import datetime, timezone

import clickhouse_connect
import pandas as pd
from clickhouse_connect.driver.exceptions import DatabaseError


def connect(**more):
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=int(os.environ["ENGINE_PORT"]),
        username="default",
        password=os.environ["ENGINE_PASSWORD"],
        **more,
    )


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


for compress in (False, True, "lz4", "zstd", "gzip"):
    client = connect(compress=compress)
    client.command("drop table if exists visits")
    client.command(
        "create table visits (id UInt64, at DateTime64(3, 'UTC'), path LowCardinality(String),"
        " tags Array(String), share Nullable(Float64), person UUID) engine = MergeTree order by id"
    )
    person = uuid.uuid4()
    at = datetime(2026, 5, 1, 12, 30, 0, 125000, tzinfo=timezone.utc)
    rows = [[n, at, f"/p/{n % 3}", ["a", str(n)], None if n % 2 else n / 4, person] for n in range(20000)]
    summary = client.insert("visits", rows, column_names=["id", "at", "path", "tags", "share", "person"])
    same(summary.written_rows, 20000)
    same(client.query("select count(), sum(id), uniqExact(path) from visits").result_rows, [(20000, 199990000, 3)])
    row = client.query("select * from visits where id = {id:UInt64}", parameters={"id": 6}).first_row
    same((row[0], row[2], row[3], row[4], row[5]), (6, "/p/0", ["a", "6"], 1.5, person))
    same(row[1].replace(tzinfo=timezone.utc), at)

client = connect()
frame = pd.DataFrame({"team": [1, 2, 3], "name": ["a", "b", "ü"], "share": [0.5, 1.5, 2.5]})
client.command("create table frames (team Int64, name String, share Float64) engine = MergeTree order by team")
client.insert_df("frames", frame)
back = client.query_df("select * from frames order by team")
same(back.to_dict("list"), frame.to_dict("list"))
with client.query_row_block_stream("select number from numbers(500000)") as blocks:
    same(sum(row[0] for block in blocks for row in block), 124999750000)

session = connect(session_id=str(uuid.uuid4()))
session.command("create temporary table mine (a Int32)")
session.insert("mine", [[4], [5]], column_names=["a"])
same(session.query("select sum(a) from mine").first_row, (9,))

same(client.query("select toUInt8(getSetting('max_threads'))", settings={"max_threads": 3}).first_row, (3,))
same(client.query("select {a:String}", parameters={"a": "it's \\ \n new"}).first_row, ("it's \\ \n new",))
same(client.raw_query("select 1 as a", fmt="JSONEachRow"), b'{"a":1}\n')
client.raw_insert("frames", insert_block="9\tz\t1\n", fmt="TSV", column_names=["team", "name", "share"])
same(client.query("select count() from frames").first_row, (4,))

for sql, code in (("select * from nothing", 60), ("selec", 62), ("select throwIf(number = 9) from numbers(10)", 395)):
    try:
        client.query(sql)
    except DatabaseError as error:
        assert f"ode: {code}" in str(error) or f"code {code}" in str(error), error
    else:
        raise AssertionError(f"{sql} did not fail")

try:
    clickhouse_connect.get_client(host="127.0.0.1", port=int(os.environ["ENGINE_PORT"]), username="default", password="x")
except DatabaseError as error:
    assert "516" in str(error), error
else:
    raise AssertionError("a wrong password got in")

print("all well")
