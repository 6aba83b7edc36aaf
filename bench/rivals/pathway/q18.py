import pathway as pw


def query(read):
    bid = read("bid", "auction bidder price channel url date_time extra")
    last = bid.groupby(bid.bidder, bid.auction).reduce(at=pw.reducers.argmax(bid.date_time))
    return bid.ix(last.at)
