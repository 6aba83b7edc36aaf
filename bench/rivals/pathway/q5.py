import pathway as pw


def query(read):
    bid = read("bid", "auction date_time")
    counts = bid.windowby(
        bid.date_time, window=pw.temporal.sliding(hop=2_000, duration=10_000), instance=bid.auction
    ).reduce(window_end=pw.this._pw_window_end, auction=pw.this._pw_instance, n=pw.reducers.count())
    best = counts.groupby(counts.window_end).reduce(
        counts.window_end, best=pw.reducers.max(pw.make_tuple(counts.n, -counts.auction))
    )
    return best.select(best.window_end, auction=-best.best[1], n=best.best[0])
