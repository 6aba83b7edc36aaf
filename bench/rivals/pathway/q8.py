import pathway as pw


def query(read):
    person = read("person", "id_ name date_time")
    auction = read("auction", "seller date_time")
    met = person.window_join(
        auction, person.date_time, auction.date_time, pw.temporal.tumbling(duration=10_000), person.id_ == auction.seller
    ).select(person.id_, person.name, window_start=pw.this._pw_window_start, window_end=pw.this._pw_window_end)
    return met.groupby(met.id_, met.name, met.window_start, met.window_end).reduce(
        met.id_, met.name, met.window_start, met.window_end
    )
