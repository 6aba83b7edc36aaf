"""One query by Pathway, which reads its files in `static` mode: the one in which it comes to an end.

usage: run.py QUERY FOLDER [--answer FILE] [--cores N]
Prints one JSON line: seconds and CPU seconds of `pw.run` (without imports), peak memory of the process. With `--answer` the rows it
ends with are written there.
"""

import argparse
import importlib
import json
import os
import resource
import time
from pathlib import Path

TYPES = {
    "id_": int, "name": str, "city": str, "state": str, "date_time": int, "extra": str, "item_name": str, "description": str,
    "initial_bid": int, "reserve": int, "expires": int, "seller": int, "category": int, "auction": int, "bidder": int,
    "price": int, "channel": str, "url": str,
}


def left(changes: Path, answer: Path) -> None:
    """The rows that are there once all changes were made."""
    rows: dict[str, int] = {}
    with changes.open() as lines:
        for line in lines:
            row = json.loads(line)
            by = row.pop("diff")
            del row["time"]
            text = json.dumps({"id" if name == "id_" else name: value for name, value in row.items()})
            rows[text] = rows.get(text, 0) + by
    with answer.open("w") as out:
        for text, times in rows.items():
            out.write((text + "\n") * times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("query")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    os.environ["PATHWAY_THREADS"] = str(args.cores)
    import pathway as pw

    def read(name: str, columns: str) -> pw.Table:
        schema = pw.schema_from_types(**{column: TYPES[column] for column in columns.split()})
        # A table has no column `id` beside its own.
        paths = {"id_": "/id"} if "id_" in columns.split() else None
        return pw.io.jsonlines.read(str(args.folder / f"{name}.ndjson"), schema=schema, json_field_paths=paths, mode="static")

    read.folder = args.folder
    rows = importlib.import_module(args.query).query(read)
    changes = args.answer.with_suffix(".changes") if args.answer else None
    if changes:
        pw.io.jsonlines.write(rows, str(changes))
    else:
        pw.io.null.write(rows)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": after.ru_maxrss / 1024}), flush=True)
    if changes:
        left(changes, args.answer)
        changes.unlink()


main()
