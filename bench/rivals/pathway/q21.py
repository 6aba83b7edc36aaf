import re

import pathway as pw

KNOWN = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
IN_URL = re.compile("(&|^)channel_id=([^&]*)")


@pw.udf(deterministic=True)
def number(channel: str, url: str) -> str | None:
    known = KNOWN.get(channel.lower())
    if known is not None:
        return known
    found = IN_URL.search(url)
    return found[2] if found else None


def query(read):
    bid = read("bid", "auction bidder price channel url")
    bid = bid.select(bid.auction, bid.bidder, bid.price, bid.channel, channel_id=number(bid.channel, bid.url))
    return bid.filter(bid.channel_id.is_not_none())
