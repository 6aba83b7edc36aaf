import pathway as pw


def query(read):
    auction = read("auction", "id_ item_name description initial_bid reserve date_time expires seller category extra")
    bid = read("bid", "auction bidder price date_time extra")
    met = auction.join(bid, auction.id_ == bid.auction).select(
        *auction, auction=bid.auction, bidder=bid.bidder, price=bid.price, bid_date_time=bid.date_time, bid_extra=bid.extra
    )
    met = met.filter((met.bid_date_time >= met.date_time) & (met.bid_date_time <= met.expires))
    best = met.groupby(met.id_).reduce(at=pw.reducers.argmax(pw.make_tuple(met.price, -met.bid_date_time)))
    return met.ix(best.at)
