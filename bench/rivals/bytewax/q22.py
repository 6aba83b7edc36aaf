import bytewax.operators as op


def row(b):
    parts = b["url"].split("/")
    return {
        "auction": b["auction"],
        "bidder": b["bidder"],
        "price": b["price"],
        "channel": b["channel"],
        "dir1": parts[3],
        "dir2": parts[4],
        "dir3": parts[5],
    }


def query(read):
    return op.map("row", read("bid"), row)
