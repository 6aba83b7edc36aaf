from datetime import timedelta

import bytewax.operators as op
from bytewax.operators.windowing import TumblingWindower, reduce_window
from common import EPOCH, clock


def better(one, other):
    return min(one, other, key=lambda b: (-b["price"], b["date_time"], b["auction"]))


def row(item):
    _, (window, b) = item
    return {"window_end": window * 10_000 + 10_000, "price": b["price"], "auction": b["auction"], "bidder": b["bidder"], "extra": b["extra"]}


def query(read):
    bids = op.key_on("all", read("bid"), lambda _: "all")
    best = reduce_window("best", bids, clock(), TumblingWindower(timedelta(seconds=10), EPOCH), better)
    return op.map("row", best.down, row)
