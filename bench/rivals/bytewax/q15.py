import bytewax.operators as op
from common import Statistics, day

KEYED = True


def add(state, b):
    state = state or Statistics()
    state.add(b)
    return state, {"day": day(b)} | state.row()


def query(read):
    return op.stateful_map("add", op.key_on("by_day", read("bid"), day), add)
