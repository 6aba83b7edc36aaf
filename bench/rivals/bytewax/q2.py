import bytewax.operators as op


def chosen(b):
    return {"auction": b["auction"], "price": b["price"]} if b["auction"] % 123 == 0 else None


def query(read):
    return op.filter_map("chosen", read("bid"), chosen)
