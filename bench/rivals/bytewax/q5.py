"""Windows of each auction, then the best of each: an auction's own watermark stands still once it has no more bids, so the second waits for the end."""

from datetime import timedelta

import bytewax.operators as op
from bytewax.operators.windowing import SlidingWindower, count_window
from common import EPOCH, clock

LENGTH, SLIDE = timedelta(seconds=10), timedelta(seconds=2)


def better(one, other):
    return max(one, other, key=lambda a: (a["n"], -a["auction"]))


def query(read):
    counts = count_window("count", read("bid"), clock(), SlidingWindower(LENGTH, SLIDE, EPOCH), lambda b: str(b["auction"]))

    def ended(item):
        auction, (window, n) = item
        end = window * 2000 + 10_000
        return str(end), {"window_end": end, "auction": int(auction), "n": n}

    return op.key_rm("best", op.reduce_final("hot", op.map("ended", counts.down, ended), better))
