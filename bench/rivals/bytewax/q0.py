import bytewax.operators as op

COLUMNS = ("auction", "bidder", "price", "date_time", "extra")


def query(read):
    return op.map("picked", read("bid"), lambda b: {c: b[c] for c in COLUMNS})
