"""`join` keeps the last of each side or gives all pairs again; so it is a state of its own."""

import bytewax.operators as op

AUCTION = ("item_name", "description", "initial_bid", "reserve", "date_time", "expires", "seller", "category", "extra")
BID = ("auction", "bidder", "price", "channel", "url")


def pair(b, a):
    return {c: b[c] for c in BID} | {"bid_date_time": b["date_time"], "bid_extra": b["extra"]} | {c: a[c] for c in AUCTION}


def meet(state, row):
    auction, bids = state or (None, [])
    if "seller" not in row:
        if auction is None:
            bids.append(row)
            return (auction, bids), []
        return (auction, bids), [pair(row, auction)]
    return (row, []), [pair(b, row) for b in bids]


def query(read):
    auctions = op.filter("category", read("auction"), lambda a: a["category"] == 10)
    auctions = op.key_on("by_id", auctions, lambda a: str(a["id"]))
    bids = op.key_on("by_auction", read("bid"), lambda b: str(b["auction"]))
    return op.key_rm("met", op.stateful_flat_map("meet", op.merge("both", auctions, bids), meet))
