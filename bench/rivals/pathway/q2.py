def query(read):
    bid = read("bid", "auction price")
    return bid.filter(bid.auction % 123 == 0)
