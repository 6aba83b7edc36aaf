"""Bidding statistics, which two queries share."""

import pathway as pw


def graded(bid):
    """Bids with their day and minute, and 1 or 0 for each grade of price."""
    at = bid.date_time.dt.utc_from_timestamp("ms")
    return bid.with_columns(
        day=at.dt.strftime("%Y-%m-%d"),
        minute=at.dt.strftime("%H:%M"),
        grade=pw.if_else(bid.price < 10_000, 1, pw.if_else(bid.price < 1_000_000, 2, 3)),
    )


def statistics(bid, *keys):
    """A row for each group. A reducer takes no condition: those of each grade are grouped apart, and put beside the whole."""
    names = [key.name for key in keys]

    def group(table, prefix):
        by = [table[name] for name in names]
        return table.groupby(*by).reduce(
            *by,
            **{
                f"{prefix}_bids": pw.reducers.count(),
                f"{prefix}_bidders": pw.reducers.count_distinct(table.bidder),
                f"{prefix}_auctions": pw.reducers.count_distinct(table.auction),
            },
        )

    whole = group(bid, "total")
    for grade in (1, 2, 3):
        part = group(bid.filter(bid.grade == grade), f"rank{grade}")
        whole = whole.join_left(part, *[whole[name] == part[name] for name in names]).select(
            *whole,
            **{
                name: pw.coalesce(part[name], 0)
                for name in (f"rank{grade}_bids", f"rank{grade}_bidders", f"rank{grade}_auctions")
            },
        )
    return whole
