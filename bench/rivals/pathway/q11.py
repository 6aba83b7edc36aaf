import pathway as pw

GAP_MS = 10_000


def query(read):
    bid = read("bid", "bidder date_time")
    sessions = bid.windowby(bid.date_time, window=pw.temporal.session(max_gap=GAP_MS), instance=bid.bidder).reduce(
        bidder=pw.this._pw_instance,
        bids=pw.reducers.count(),
        window_start=pw.this._pw_window_start,
        last=pw.this._pw_window_end,
    )
    return sessions.select(sessions.bidder, sessions.bids, sessions.window_start, window_end=sessions.last + GAP_MS)
