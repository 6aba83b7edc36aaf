from datetime import timedelta

import bytewax.operators as op
from bytewax.operators.windowing import SessionWindower, fold_window
from common import clock

GAP_MS = 10_000


def add(session, b):
    n, first, last = session
    return n + 1, min(first, b["date_time"]), max(last, b["date_time"])


def merge(one, other):
    return one[0] + other[0], min(one[1], other[1]), max(one[2], other[2])


def row(item):
    bidder, (_, (n, first, last)) = item
    return {"bidder": int(bidder), "bids": n, "window_start": first, "window_end": last + GAP_MS}


def query(read):
    bids = op.key_on("by_bidder", read("bid"), lambda b: str(b["bidder"]))
    # Its gap is inclusive.
    windows = SessionWindower(timedelta(milliseconds=GAP_MS - 1))
    sessions = fold_window("session", bids, clock(), windows, lambda: (0, 1 << 62, 0), add, merge, ordered=False)
    return op.map("row", sessions.down, row)
