-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","at":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z","at":"2026-01-01T00:00:01Z"}

-- input timeless {"id":"int64","value":"float64"}
-- {"id":1,"value":5}

SELECT id, lead(value) OVER (PARTITION BY sensor ORDER BY ts) AS next FROM readings
-- error v: 1:12 `lead` with `OVER` is not possible: it looks at rows that are still to come
--  fix: look back from the later row with `lag(…)`, or join the view with itself

SELECT id, ntile(4) OVER (PARTITION BY sensor ORDER BY ts) AS part FROM readings
-- error v: 1:12 `ntile` with `OVER` is not possible: it needs all rows of a key, of which there is no last one
--  fix: take `row_number`, `rank` or `dense_rank`, which count from the first row on

SELECT id, avg(value) OVER (PARTITION BY sensor) AS mean FROM readings
-- error v: 1:12 `avg` with `OVER` and no `ORDER BY` is not possible: it would need all rows of a key, of which there is no last one
--  fix: say in which order rows count: `OVER (PARTITION BY … ORDER BY ts)` with the event time

SELECT id, avg(value) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS mean FROM readings
-- error v: 1:12 `avg` with `OVER` and a frame that goes on behind the row (`FOLLOWING`) is not possible: those rows are still to come
--  fix: let the frame end with `CURRENT ROW`, and look back from the later row; or join the view with itself

SELECT id, avg(value) OVER w AS mean FROM readings WINDOW w AS (ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
-- error v: 1:12 `avg` with `OVER` and a frame that goes on behind the row (`FOLLOWING`) is not possible: those rows are still to come
--  fix: let the frame end with `CURRENT ROW`, and look back from the later row; or join the view with itself

SELECT id, avg(value) OVER (ORDER BY ts GROUPS 2 PRECEDING) AS mean FROM readings
-- error v: 1:12 `avg` with `OVER` and `GROUPS` is not yet possible: it is not built
--  fix: write `ROWS` or `RANGE`

SELECT id, avg(value) OVER (w ROWS 2 PRECEDING) AS mean FROM readings WINDOW w AS (ORDER BY ts)
-- error v: 1:12 `OVER (w …)` is not yet possible: a named window cannot be added to
--  fix: write `OVER w`, or write the window out

SELECT id, avg(value) OVER (ORDER BY at) AS mean FROM readings
-- error v: 1:23 `OVER` is in the order of `at`, which is not event time: rows that belong before a row could come at any time
--  fix: begin with `ORDER BY ts`

SELECT id, avg(value) OVER (ORDER BY ts DESC) AS mean FROM readings
-- error v: 1:23 `OVER` goes backwards in time (`ts DESC`): a row would have to wait for all that are still to come
--  fix: leave out `DESC`

SELECT id, row_number() OVER (PARTITION BY sensor ORDER BY value DESC) AS place FROM readings
-- error v: 1:25 `OVER` is in the order of `value`, which is not event time: rows that belong before a row could come at any time
--  fix: begin with `ORDER BY ts`; or, for the best of each key, `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT id, avg(value) OVER (ORDER BY id) AS mean FROM timeless
-- error v: 1:23 `OVER` is in the order of `id`, which is not event time: rows that belong before a row could come at any time
--  fix: declare `event_time` at the source, and write `ORDER BY` its column

SELECT id, avg(value) OVER (ORDER BY ts RANGE INTERVAL '1 month' PRECEDING) AS mean FROM readings
-- error v: 1:56 the span `INTERVAL '1 month'` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

SELECT id, lag(value, -1) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:27 `lag` cannot look ahead by 1: those rows are still to come
--  fix: look back from the later row, with a number from 0 on

SELECT id, lag(value, id) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:27 how many rows back `lag` looks has to be a whole number: `id`
--  fix: write `lag(…, 1)`

SELECT id, lag(value, 1, value) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:33 what `lag` gives where there is no row has to be a constant
--  fix: write `coalesce(lag(…) OVER (…), …)`

SELECT id, nth_value(value, 0) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:32 `nth_value` counts the rows of its frame from 1 on
--  fix: write `nth_value(…, 1)`

SELECT id, nth_value(value, 2) IGNORE NULLS OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:45 `nth_value` with `IGNORE NULLS` is not yet possible
--  fix: take `first_value` or `last_value`

SELECT id, lag(value) FILTER (WHERE value > 1) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:12 `lag` with `FILTER` is not possible: it looks at one row
--  fix: leave out `FILTER`, or take an aggregate: `max(CASE WHEN … THEN … END)`

SELECT id, upper(sensor) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:12 `upper` with `OVER` is not possible: it computes one row at a time
--  fix: leave out `OVER (…)`, or take an aggregate, `lag`, `first_value`, `last_value`, `nth_value`, `row_number`, `rank` or `dense_rank`

SELECT id, lag(value) AS before FROM readings
-- error v: 1:12 `lag` without `OVER` is not possible: it looks at other rows, and does not say at which
--  fix: write `lag(…) OVER (PARTITION BY … ORDER BY ts)`

SELECT id, nosuch(value) OVER (ORDER BY ts) AS next FROM readings
-- error v: 1:12 there is no function `nosuch`
--  fix: `millstream docs` lists the functions

SELECT id, avg(value) OVER nosuch AS next FROM readings
-- error v: 1:12 there is no window `nosuch`
--  fix: add `WINDOW nosuch AS (PARTITION BY … ORDER BY ts)` at the end

-- view v ttl 5000000
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '1 minute' PRECEDING) AS mean, lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS before FROM readings
-- error v: 1:23 `state_ttl` is shorter than a frame of 1 minute, which would miss rows of a key that was forgotten
--  fix: raise `state_ttl`, or make the frame shorter

-- view v ttl 5000000
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '1 second' PRECEDING) AS mean FROM readings
-- error v: the view has `state_ttl`, and keeps nothing that would grow for ever without it
--  fix: leave it out

-- view minutes lateness 60000000
SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_end, lag(n) OVER (PARTITION BY sensor ORDER BY window_end) AS before FROM minutes
-- error v: 1:27 `OVER` is not possible over rows that are given anew, each in place of one before: it would see a row and the one in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

SELECT id FROM readings WHERE avg(value) OVER (PARTITION BY sensor ORDER BY ts ROWS 3 PRECEDING) > 3
-- error v: 1:31 `OVER` in `WHERE` is not possible: it is computed of the rows that are left after that
--  fix: compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …) WHERE x > …`; or write `QUALIFY` in place of `WHERE`

SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE 60 PRECEDING) AS mean FROM readings
-- error v: 1:67 `RANGE 60 PRECEDING` has no unit of time
--  fix: write `RANGE INTERVAL '60 seconds' PRECEDING`, or `ROWS 60 PRECEDING` to count rows

SELECT id, n FROM (SELECT id, RANK() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) AS r WHERE n <= 3
-- error v: 1:38 `OVER` is in the order of `value`, which is not event time: rows that belong before a row could come at any time
--  fix: begin with `ORDER BY ts`; or, for the best of each key, `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT count(*) OVER (ORDER BY ts) AS n, count(*) AS m FROM readings GROUP BY n
-- error v: 1:8 `OVER` in `GROUP BY` is not possible: it is computed of the rows that are left after that
--  fix: compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …) GROUP BY x`

SELECT count(*) OVER (PARTITION BY sensor ORDER BY ts) AS n, count(*) AS m FROM readings GROUP BY 1
-- error v: 1:8 `OVER` in `GROUP BY` is not possible: it is computed of the rows that are left after that
--  fix: compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …) GROUP BY x`

SELECT a.id FROM readings a JOIN timeless b ON a.id = b.id AND count(*) OVER (ORDER BY a.ts) > 3
-- error v: 1:64 `OVER` in `ON` is not possible: it is computed of the rows that the join gives
--  fix: compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …) a JOIN … ON a.x = …`

SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '1 month' PRECEDING) AS x FROM readings
-- error v: 1:76 the span `INTERVAL '1 month'` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts ROWS INTERVAL '1 minute' PRECEDING) AS x FROM readings
-- error v: 1:75 `ROWS INTERVAL '1 minute' PRECEDING` counts rows, and a span is no number
--  fix: write `RANGE INTERVAL '1 minute' PRECEDING`, or how many rows: `ROWS 10 PRECEDING`

SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY id RANGE 10 PRECEDING) AS x FROM readings
-- error v: 1:67 `RANGE 10 PRECEDING` has no unit of time
--  fix: write `RANGE INTERVAL '10 seconds' PRECEDING`, or `ROWS 10 PRECEDING` to count rows

SELECT a.id FROM readings a JOIN readings b ON a.id = b.id AND a.ts = b.ts AND count(*) OVER (ORDER BY a.ts) > 3
-- error v: 1:80 `OVER` in `ON` is not possible: it is computed of the rows that the join gives
--  fix: compute it in a query of its own: `SELECT … FROM (SELECT *, … OVER (…) AS x FROM …) a JOIN … ON a.x = …`

SELECT id FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts) QUALIFY count(*) OVER v > 2
-- error v: 1:79 there is no window `v`
--  fix: add `WINDOW v AS (PARTITION BY … ORDER BY ts)` at the end
