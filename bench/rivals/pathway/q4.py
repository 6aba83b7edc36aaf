import pathway as pw


def query(read):
    auction = read("auction", "id_ category date_time expires")
    bid = read("bid", "auction price date_time")
    met = auction.join(bid, auction.id_ == bid.auction).select(
        auction.id_, auction.category, auction.expires, opened=auction.date_time, price=bid.price, at=bid.date_time
    )
    met = met.filter((met.at >= met.opened) & (met.at <= met.expires))
    closed = met.groupby(met.id_, met.category).reduce(met.category, final=pw.reducers.max(met.price))
    return closed.groupby(closed.category).reduce(closed.category, final=pw.reducers.avg(closed.final))
