def query(read):
    return read("bid", "auction bidder price date_time extra")
