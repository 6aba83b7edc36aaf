"""The table is read once, at the start."""

import csv

import bytewax.operators as op


def query(read):
    with (read.folder / "side_input.csv").open() as lines:
        side = {int(row["key"]): row["value"] for row in csv.DictReader(lines)}

    def row(b):
        value = side.get(b["auction"] % 10_000)
        if value is None:
            return None
        return {"auction": b["auction"], "bidder": b["bidder"], "price": b["price"], "date_time": b["date_time"], "value": value}

    return op.filter_map("row", read("bid"), row)
