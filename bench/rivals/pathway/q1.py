def query(read):
    bid = read("bid", "auction bidder price date_time extra")
    return bid.select(bid.auction, bid.bidder, price=0.908 * bid.price, date_time=bid.date_time, extra=bid.extra)
