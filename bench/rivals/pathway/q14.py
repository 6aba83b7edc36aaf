import pathway as pw


def query(read):
    bid = read("bid", "auction bidder price date_time extra")
    bid = bid.with_columns(price=0.908 * bid.price, hour=bid.date_time.dt.utc_from_timestamp("ms").dt.hour())
    bid = bid.filter((bid.price > 1_000_000) & (bid.price < 50_000_000))
    night = pw.if_else((bid.hour <= 6) | (bid.hour >= 20), "nightTime", "otherTime")
    return bid.select(
        bid.auction,
        bid.bidder,
        bid.price,
        bid_time_type=pw.if_else((bid.hour >= 8) & (bid.hour <= 18), "dayTime", night),
        date_time=bid.date_time,
        extra=bid.extra,
        c_counts=bid.extra.str.count("c"),
    )
