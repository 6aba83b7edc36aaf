-- input readings {"id":"int64","sensor":"string","value":"float64","n":"int64","state":"string","ts":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"n":1,"state":"on","ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"sensor":"b","value":50,"n":10,"state":"on","ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"sensor":"a","value":11,"n":2,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- {"id":4,"sensor":"a","value":1,"n":null,"state":"off","ts":"2026-01-01T00:00:03Z"}
-- next
-- {"id":5,"sensor":"a","value":null,"n":4,"state":null,"ts":"2026-01-01T00:00:10Z"}
-- {"id":6,"sensor":"b","value":7,"n":20,"state":"off","ts":"2026-01-01T00:00:06Z"}
-- {"id":7,"sensor":"a","value":3,"n":5,"state":"on","ts":"2026-01-01T00:00:10Z"}
-- {"id":8,"sensor":"a","value":4,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- next
-- {"id":9,"sensor":null,"value":2,"n":7,"state":"on","ts":"2026-01-01T00:00:11Z"}
-- {"id":10,"sensor":"c","value":2,"n":8,"state":"on","ts":null}
-- {"id":11,"sensor":null,"value":6,"n":9,"state":"off","ts":"2026-01-01T00:00:12Z"}
-- {"id":12,"sensor":"a","value":8,"n":10,"state":"off","ts":"2026-01-01T00:00:30Z"}
-- {"id":13,"sensor":"b","value":9,"n":30,"state":"off","ts":"2026-01-01T00:00:26Z"}

-- A moving average of three rows, the change since the last one, and the change of state.
SELECT id, sensor, avg(value) OVER w AS mean, value - lag(value) OVER w AS change, lag(state, 1, 'none') OVER w AS before FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS 2 PRECEDING)

-- Rows of one moment have one frame.
SELECT id, sensor, ts, sum(n) OVER (PARTITION BY sensor ORDER BY ts) AS total, count(*) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '6 seconds' PRECEDING) AS near, count(value) OVER (PARTITION BY sensor ORDER BY ts RANGE BETWEEN INTERVAL '6 seconds' PRECEDING AND CURRENT ROW) AS values FROM readings

SELECT id, row_number() OVER w AS number, rank() OVER w AS rank, dense_rank() OVER w AS dense, rank() OVER (PARTITION BY sensor ORDER BY ts, id DESC) AS strict FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)

SELECT id, first_value(value) OVER w AS first, last_value(value) OVER w AS last, nth_value(id, 2) OVER w AS second, first_value(state) IGNORE NULLS OVER w AS known, last_value(state) IGNORE NULLS OVER (PARTITION BY sensor ORDER BY ts, id) AS filled, lag(value) IGNORE NULLS OVER w AS valid FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)

-- A frame may end before the row, and be empty.
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS mean, count(*) OVER (PARTITION BY sensor ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND INTERVAL '5 seconds' PRECEDING) AS earlier FROM readings

-- z-scores of the three rows before.
SELECT id, sensor, (value - mean) / deviation AS z FROM (SELECT *, avg(value) OVER w AS mean, stddev(value) OVER w AS deviation FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)) WHERE deviation > 0

-- Rates: by how much `n` grows in a second.
SELECT id, sensor, CAST(n - lag(n) OVER w AS DOUBLE) / nullif(date_part('epoch', ts) - date_part('epoch', lag(ts) OVER w), 0) AS rate FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)

SELECT id, count(*) FILTER (WHERE state = 'on') OVER w AS on, sum(n) FILTER (WHERE value > 4) OVER w AS large, max(value) OVER w AS peak, min(state) OVER w AS least, median(value) OVER w AS middle FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS 2 PRECEDING)

-- What is kept of all rows, in the library's own form.
SELECT id, median(value) OVER w AS middle, count(DISTINCT state) OVER w AS states, array_agg(id) OVER w AS all FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)

-- Without a key all rows are in one order; keys and arguments are computed before.
SELECT id, sum(n + 1) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS total, max(value * 2) OVER (PARTITION BY upper(sensor), id % 2 ORDER BY ts) AS peak FROM readings

-- Over rows that windows give.
SELECT window_end, sensor, n, n - lag(n) OVER (PARTITION BY sensor ORDER BY window_end) AS change FROM (SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, sensor)

-- And windows over what comes out, here of the same table's windows.
SELECT window_end, sensor, count(*) AS n, sum(change) AS change FROM (SELECT *, value - lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS change FROM TUMBLE(readings, ts, INTERVAL '5 seconds')) GROUP BY window_start, window_end, sensor

-- view changes
SELECT *, value - lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS change FROM readings
-- view v
SELECT window_end, max(change) AS most FROM TUMBLE(changes, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end

-- view v late stream
SELECT id, avg(value) OVER (ORDER BY ts ROWS 1 PRECEDING) AS mean FROM readings WHERE sensor <> 'b'

-- view v ttl 7000000
SELECT id, sensor, count(*) OVER w AS n, lag(value) OVER w AS before FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)

-- Each row is in two windows, and numbered in each.
SELECT window_start, id, row_number() OVER (PARTITION BY window_start, sensor ORDER BY ts) AS number FROM HOP(readings, ts, INTERVAL '5 seconds', INTERVAL '10 seconds')

SELECT id, row_number() OVER (PARTITION BY sensor ORDER BY ts) AS number FROM readings QUALIFY number % 2 = 1

-- input large {"id":"int64","n":"int64","d":"int64","ts":"timestamp"} time ts delay 0
-- {"id":1,"n":9223372036854775807,"d":1,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"n":1,"d":0,"ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"n":5,"d":1,"ts":"2026-01-01T00:00:03Z"}
-- {"id":4,"n":-9,"d":1,"ts":"2026-01-01T00:00:04Z"}

-- A sum that does not fit is told of its row alone; so is what cannot be computed before.
SELECT id, sum(n) OVER (ORDER BY ts ROWS 1 PRECEDING) AS total, sum(n / d) OVER (ORDER BY ts ROWS 2 PRECEDING) AS parts FROM large
