import bytewax.operators as op
from common import Statistics, day, moment

KEYED = True


def add(state, b):
    minute, found = state or ("", Statistics())
    minute = max(minute, moment(b).strftime("%H:%M"))
    found.add(b)
    return (minute, found), {"channel": b["channel"], "day": day(b), "minute": minute} | found.row()


def query(read):
    return op.stateful_map("add", op.key_on("by_channel", read("bid"), lambda b: f"{b['channel']} {day(b)}"), add)
