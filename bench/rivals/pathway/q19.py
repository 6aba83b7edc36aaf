import pathway as pw

MOST = 10


def query(read):
    bid = read("bid", "auction bidder price channel url date_time extra")
    row = pw.make_tuple(-bid.price, bid.bidder, bid.channel, bid.url, bid.date_time, bid.extra)
    best = bid.groupby(bid.auction).reduce(bid.auction, rows=pw.reducers.sorted_tuple(row))

    @pw.udf(deterministic=True)
    def top(rows: list[tuple[int, int, str, str, int, str]]) -> list[tuple[int, int, int, str, str, int, str]]:
        return [(place, *row) for place, row in enumerate(rows[:MOST], 1)]

    best = best.select(best.auction, row=top(best.rows)).flatten(pw.this.row)
    row = best.row
    return best.select(
        best.auction, bidder=row[2], price=-row[1], channel=row[3], url=row[4], date_time=row[5], extra=row[6], place=row[0]
    )
