import re

import bytewax.operators as op

KNOWN = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
IN_URL = re.compile("(&|^)channel_id=([^&]*)")


def row(b):
    number = KNOWN.get(b["channel"].lower())
    if number is None:
        found = IN_URL.search(b["url"])
        if found is None:
            return None
        number = found[2]
    return {"auction": b["auction"], "bidder": b["bidder"], "price": b["price"], "channel": b["channel"], "channel_id": number}


def query(read):
    return op.filter_map("row", read("bid"), row)
