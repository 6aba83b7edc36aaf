import pathway as pw


@pw.udf(deterministic=True)
def parts(url: str) -> list[str]:
    return url.split("/")


def query(read):
    bid = read("bid", "auction bidder price channel url")
    bid = bid.with_columns(parts=parts(bid.url))
    return bid.select(
        bid.auction, bid.bidder, bid.price, bid.channel, dir1=bid.parts[3], dir2=bid.parts[4], dir3=bid.parts[5]
    )
