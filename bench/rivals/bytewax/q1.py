import bytewax.operators as op


def price(b):
    return {"auction": b["auction"], "bidder": b["bidder"], "price": 0.908 * b["price"], "date_time": b["date_time"], "extra": b["extra"]}


def query(read):
    return op.map("price", read("bid"), price)
