import bytewax.operators as op
from common import day, grade

KEYED = True


def add(state, b):
    price, bids = b["price"], state[0] if state else [0] * 4
    least, most, total = state[1:] if state else (price, price, 0)
    bids[0] += 1
    bids[grade(price)] += 1
    least, most, total = min(least, price), max(most, price), total + price
    row = {
        "auction": b["auction"],
        "day": day(b),
        "total_bids": bids[0],
        "rank1_bids": bids[1],
        "rank2_bids": bids[2],
        "rank3_bids": bids[3],
        "min_price": least,
        "max_price": most,
        "avg_price": total / bids[0],
        "sum_price": total,
    }
    return (bids, least, most, total), row


def query(read):
    return op.stateful_map("add", op.key_on("by_auction", read("bid"), lambda b: f"{b['auction']} {day(b)}"), add)
