from datetime import timedelta

import bytewax.operators as op
from bytewax.operators.windowing import TumblingWindower, join_window
from common import EPOCH, TO_THE_END, clock


def query(read):
    persons = op.key_on("by_id", read("person"), lambda p: str(p["id"]))
    auctions = op.key_on("by_seller", read("auction"), lambda a: str(a["seller"]))
    windows = TumblingWindower(timedelta(seconds=10), EPOCH)
    joined = join_window("join", clock(TO_THE_END), windows, persons, auctions, ordered=False)

    def row(item):
        _, (window, (person, auction)) = item
        if person is None or auction is None:
            return None
        begin = window * 10_000
        return {"id": person["id"], "name": person["name"], "window_start": begin, "window_end": begin + 10_000}

    return op.filter_map("both", joined.down, row)
