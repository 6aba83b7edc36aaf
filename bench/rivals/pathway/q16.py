import pathway as pw
from common import graded, statistics


def query(read):
    bid = graded(read("bid", "auction bidder price channel date_time"))
    last = bid.groupby(bid.channel, bid.day).reduce(bid.channel, bid.day, minute=pw.reducers.max(bid.minute))
    found = statistics(bid, bid.channel, bid.day)
    return found.join(last, found.channel == last.channel, found.day == last.day).select(*found, last.minute)
