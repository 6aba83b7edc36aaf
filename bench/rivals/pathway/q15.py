from common import graded, statistics


def query(read):
    bid = graded(read("bid", "auction bidder price date_time"))
    return statistics(bid, bid.day)
