from datetime import timedelta

import bytewax.operators as op
from bytewax.operators.windowing import TumblingWindower, count_window
from common import EPOCH, clock


def row(item):
    bidder, (window, n) = item
    return {"bidder": int(bidder), "bids": n, "window_start": window * 10_000, "window_end": window * 10_000 + 10_000}


def query(read):
    windows = TumblingWindower(timedelta(seconds=10), EPOCH)
    counts = count_window("count", read("bid"), clock(), windows, lambda b: str(b["bidder"]))
    return op.map("row", counts.down, row)
