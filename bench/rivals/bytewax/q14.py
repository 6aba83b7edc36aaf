import bytewax.operators as op
from common import moment


def row(b):
    price = 0.908 * b["price"]
    if not 1_000_000 < price < 50_000_000:
        return None
    hour = moment(b).hour
    kind = "dayTime" if 8 <= hour <= 18 else "nightTime" if hour <= 6 or hour >= 20 else "otherTime"
    return {
        "auction": b["auction"],
        "bidder": b["bidder"],
        "price": price,
        "bid_time_type": kind,
        "date_time": b["date_time"],
        "extra": b["extra"],
        "c_counts": b["extra"].count("c"),
    }


def query(read):
    return op.filter_map("row", read("bid"), row)
