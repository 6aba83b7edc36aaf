import pathway as pw


def query(read):
    bid = read("bid", "bidder date_time")
    return bid.windowby(bid.date_time, window=pw.temporal.tumbling(duration=10_000), instance=bid.bidder).reduce(
        bidder=pw.this._pw_instance,
        bids=pw.reducers.count(),
        window_start=pw.this._pw_window_start,
        window_end=pw.this._pw_window_end,
    )
