import pathway as pw


class Side(pw.Schema):
    key: int
    value: str


def query(read):
    bid = read("bid", "auction bidder price date_time")
    bid = bid.with_columns(key=bid.auction % 10_000)
    side = pw.io.csv.read(str(read.folder / "side_input.csv"), schema=Side, mode="static")
    return bid.join(side, bid.key == side.key).select(
        bid.auction, bid.bidder, bid.price, bid.date_time, side.value
    )
