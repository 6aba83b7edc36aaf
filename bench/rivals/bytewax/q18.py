import bytewax.operators as op

KEYED = True
COLUMNS = ("auction", "bidder", "price", "channel", "url", "date_time", "extra")


def later(last, b):
    if last is not None and b["date_time"] < last["date_time"]:
        return last, []
    row = {c: b[c] for c in COLUMNS}
    return row, [row]


def query(read):
    return op.stateful_flat_map("last", op.key_on("by_both", read("bid"), lambda b: f"{b['bidder']} {b['auction']}"), later)
