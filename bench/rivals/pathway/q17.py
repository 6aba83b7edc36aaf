import pathway as pw
from common import graded


def query(read):
    bid = graded(read("bid", "auction price date_time"))
    bid = bid.with_columns(**{f"is{g}": pw.if_else(bid.grade == g, 1, 0) for g in (1, 2, 3)})
    return bid.groupby(bid.auction, bid.day).reduce(
        bid.auction,
        bid.day,
        total_bids=pw.reducers.count(),
        rank1_bids=pw.reducers.sum(bid.is1),
        rank2_bids=pw.reducers.sum(bid.is2),
        rank3_bids=pw.reducers.sum(bid.is3),
        min_price=pw.reducers.min(bid.price),
        max_price=pw.reducers.max(bid.price),
        avg_price=pw.reducers.avg(bid.price),
        sum_price=pw.reducers.sum(bid.price),
    )
