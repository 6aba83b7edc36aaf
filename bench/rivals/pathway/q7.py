import pathway as pw


def query(read):
    bid = read("bid", "auction bidder price date_time extra")
    best = bid.windowby(bid.date_time, window=pw.temporal.tumbling(duration=10_000)).reduce(
        window_end=pw.this._pw_window_end,
        best=pw.reducers.max(
            pw.make_tuple(pw.this.price, -pw.this.date_time, -pw.this.auction, pw.this.bidder, pw.this.extra)
        ),
    )
    best = best.select(best.window_end, price=best.best[0], auction=-best.best[2], bidder=best.best[3], extra=best.best[4])
    return best
