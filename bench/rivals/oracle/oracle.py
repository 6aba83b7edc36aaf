"""Whether an engine's answer is that of DuckDB, which computes it from the same files in one batch.

usage: oracle.py QUERY FOLDER ANSWER.ndjson
Ends with 0 and prints `{"rows": N}` if so, else with 1 and what differs. The wanted rows are kept in
`FOLDER/.wanted` and computed once.

Each query's SQL is `QUERY.sql` here. Rows are compared as a bag: whole numbers, texts and moments exactly, floats to one in 10^9.
Where a query leaves a choice (two bids of a moment, of which one is the last), what it leaves open is not
compared, but each row has to be one of those that may be chosen: `-- choice:` names the columns that are open,
`QUERY.may.sql` gives those rows. `-- key:` is what tells rows apart where an answer is kept up to date. A test runs the same SQL by SQLite
(`crates/millstream/tests/binary/nexmark.rs`).
"""

import hashlib
import json
import sys
from pathlib import Path

import duckdb

QUERY, FOLDER, ANSWER = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
HERE = Path(__file__).parent

TABLES = {
    "person": "id BIGINT, name VARCHAR, email_address VARCHAR, credit_card VARCHAR, city VARCHAR, state VARCHAR, date_time BIGINT, extra VARCHAR",
    "auction": "id BIGINT, item_name VARCHAR, description VARCHAR, initial_bid BIGINT, reserve BIGINT, date_time BIGINT, expires BIGINT, seller BIGINT, category BIGINT, extra VARCHAR",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, date_time BIGINT, extra VARCHAR",
}
# What the SQL here, which is one for DuckDB and SQLite, takes from a bid's moment.
COMPUTED = {
    "day": "strftime(make_timestamp_ms(date_time), '%Y-%m-%d')",
    "minute": "strftime(make_timestamp_ms(date_time), '%H:%M')",
    "hour": "hour(make_timestamp_ms(date_time))",
}
# Columns that are moments, in milliseconds, and those that are floats; the others are taken as they are in the wanted rows.
MOMENTS = {"date_time", "bid_date_time", "expires", "window_start", "window_end"}
SHOWN = 3


def text(path: Path) -> str:
    return str(path).replace("'", "''")


def tables(db: duckdb.DuckDBPyConnection) -> None:
    for name, columns in TABLES.items():
        types = ", ".join("'{}': '{}'".format(*column.split()) for column in columns.split(", "))
        path = text(FOLDER / f"{name}.ndjson")
        more = "".join(f", {value} AS {column}" for column, value in COMPUTED.items()) if name == "bid" else ""
        db.execute(f"CREATE VIEW {name} AS SELECT *{more} FROM read_json('{path}', format = 'newline_delimited', columns = {{{types}}})")
    db.execute(f"CREATE VIEW side_input AS SELECT * FROM read_csv('{text(FOLDER / 'side_input.csv')}', columns = {{'key': 'BIGINT', 'value': 'VARCHAR'}}, header = true)")


def wanted(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    path = FOLDER / ".wanted" / f"{QUERY}-{hashlib.sha256(sql.encode()).hexdigest()[:12]}.parquet"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        db.execute(f"COPY ({sql}) TO '{text(part)}' (FORMAT parquet)")
        part.rename(path)
    db.execute(f"CREATE VIEW wanted AS SELECT * FROM read_parquet('{text(path)}')")


def found(db: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> None:
    """The answer, its columns as those that are wanted."""
    types = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    values = []
    for column, kind in columns.items():
        value = f'"{column}"'
        if column in MOMENTS:
            value = (
                f"CASE WHEN regexp_full_match({value}, '[0-9]+') THEN CAST({value} AS BIGINT)"
                f" ELSE epoch_ms(CAST({value} AS TIMESTAMPTZ)) END"
            )
        values.append(f'CAST({value} AS {kind}) AS "{column}"')
    db.execute(
        f"CREATE TABLE found AS SELECT {', '.join(values)} FROM read_json('{text(ANSWER)}', format = 'newline_delimited',"
        f" columns = {{{types}}}, maximum_object_size = 16777216)"
    )


def differences(db: duckdb.DuckDBPyConnection, columns: dict[str, str], choice: set[str]) -> list[str]:
    exact = [f'"{c}"' for c, kind in columns.items() if kind != "DOUBLE" and c not in choice]
    floats = [f'"{c}"' for c, kind in columns.items() if kind == "DOUBLE" and c not in choice]
    same, told = ", ".join(exact), []
    for name, one, other in (("wanted, not found", "wanted", "found"), ("found, not wanted", "found", "wanted")):
        rows = db.execute(f"SELECT {same} FROM {one} EXCEPT ALL SELECT {same} FROM {other}").fetchall()
        told += [f"{name}: {len(rows)} rows, such as {rows[:SHOWN]}"] if rows else []
    if floats and not told:
        order = ", ".join(exact + floats)
        numbered = "SELECT *, row_number() OVER (ORDER BY {}) AS n FROM {}"
        off = " OR ".join(f"abs(w.{c} - f.{c}) > 1e-9 * greatest(abs(w.{c}), abs(f.{c})) OR (w.{c} IS NULL) <> (f.{c} IS NULL)" for c in floats)
        rows = db.execute(
            f"SELECT w.*, f.* FROM ({numbered.format(order, 'wanted')}) w JOIN ({numbered.format(order, 'found')}) f USING (n) WHERE {off} LIMIT {SHOWN}"
        ).fetchall()
        told += [f"floats differ: {rows}"] if rows else []
    return told


def main() -> int:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET preserve_insertion_order = false")
    tables(db)
    sql = (HERE / f"{QUERY}.sql").read_text()
    notes = [line.removeprefix("-- choice:") for line in sql.splitlines() if line.startswith("-- choice:")]
    choice = {column.strip() for note in notes for column in note.split(",")}
    wanted(db, sql)
    columns = {row[0]: row[1] for row in db.execute("DESCRIBE wanted").fetchall()}
    found(db, columns)
    told = differences(db, columns, choice)
    if choice and not told:
        db.execute(f"CREATE VIEW may AS {(HERE / f'{QUERY}.may.sql').read_text()}")
        names = ", ".join(f'"{c}"' for c in db.table("may").columns)
        rows = db.execute(f"SELECT {names} FROM found EXCEPT ALL SELECT {names} FROM may").fetchall()
        told += [f"none of the rows that may be chosen: {len(rows)} rows, such as {rows[:SHOWN]}"] if rows else []
    if told:
        print("\n".join(told))
        return 1
    print(json.dumps({"rows": db.execute("SELECT count(*) FROM found").fetchone()[0]}))
    return 0


sys.exit(main())
