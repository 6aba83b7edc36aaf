"""`join` keeps the last of each side or gives all pairs again; so it is a state of its own."""

import bytewax.operators as op

STATES = ("or", "id", "ca")


def meet(state, row):
    person, auctions = state or (None, [])
    if "seller" in row:
        if person is None:
            auctions.append(row)
            return (person, auctions), []
        met = [row]
    else:
        person, met, auctions = row, auctions, []
    return (person, auctions), [{"name": person["name"], "city": person["city"], "state": person["state"], "id": a["id"]} for a in met]


def query(read):
    persons = op.filter("state", read("person"), lambda p: p["state"] in STATES)
    auctions = op.filter("category", read("auction"), lambda a: a["category"] == 10)
    persons = op.key_on("by_id", persons, lambda p: str(p["id"]))
    auctions = op.key_on("by_seller", auctions, lambda a: str(a["seller"]))
    return op.key_rm("met", op.stateful_flat_map("meet", op.merge("both", persons, auctions), meet))
