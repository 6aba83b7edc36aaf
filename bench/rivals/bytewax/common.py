"""What several queries share: event time in milliseconds, windows of it, running statistics."""

from datetime import datetime, timedelta, timezone

from bytewax.operators.windowing import EventClock

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Each key has a watermark of its own. Files are read at different speeds, so a join waits until the end.
TO_THE_END = timedelta(days=1)


def moment(row: dict) -> datetime:
    return datetime.fromtimestamp(row["date_time"] / 1000, timezone.utc)


def clock(wait: timedelta = timedelta(seconds=4)) -> EventClock:
    # By itself a watermark goes on with the machine's clock, and rows would be late by how busy that is: it stands still here.
    return EventClock(moment, wait, now_getter=lambda: EPOCH, to_system_utc=lambda _: None)


def grade(price: int) -> int:
    return 1 if price < 10_000 else 2 if price < 1_000_000 else 3


def day(row: dict) -> str:
    return moment(row).strftime("%Y-%m-%d")


class Statistics:
    """Bids counted, and whose and for what they are, in all and by grade of price."""

    def __init__(self) -> None:
        self.bids, self.bidders, self.auctions = [0] * 4, [set() for _ in range(4)], [set() for _ in range(4)]

    def add(self, row: dict) -> None:
        for at in (0, grade(row["price"])):
            self.bids[at] += 1
            self.bidders[at].add(row["bidder"])
            self.auctions[at].add(row["auction"])

    def row(self) -> dict:
        found = {}
        for name, counts in (
            ("bids", self.bids),
            ("bidders", [len(s) for s in self.bidders]),
            ("auctions", [len(s) for s in self.auctions]),
        ):
            found |= {f"{'total' if at == 0 else f'rank{at}'}_{name}": count for at, count in enumerate(counts)}
        return found
