from bisect import insort

import bytewax.operators as op

KEYED = True
COLUMNS = ("auction", "bidder", "price", "channel", "url", "date_time", "extra")
MOST = 10


def top(best, b):
    """The best so far, and what has another place than before, by (auction, place)."""
    best = best or []
    if len(best) == MOST and b["price"] <= best[-1]["price"]:
        return best, []
    row = {c: b[c] for c in COLUMNS}
    insort(best, row, key=lambda r: -r["price"])
    del best[MOST:]
    first = next(at for at, r in enumerate(best) if r is row)
    return best, [r | {"place": first + at + 1} for at, r in enumerate(best[first:])]


def query(read):
    ranked = op.stateful_flat_map("top", op.key_on("by_auction", read("bid"), lambda b: str(b["auction"])), top)
    return op.map("by_place", ranked, lambda item: (f"{item[0]} {item[1]['place']}", item[1]))
