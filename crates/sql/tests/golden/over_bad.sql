-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","at":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z","at":"2026-01-01T00:00:01Z"}

-- input timeless {"id":"int64","value":"float64"}
-- {"id":1,"value":5}

SELECT id, lead(value) OVER (PARTITION BY sensor ORDER BY ts) AS next FROM readings

SELECT id, ntile(4) OVER (PARTITION BY sensor ORDER BY ts) AS part FROM readings

SELECT id, avg(value) OVER (PARTITION BY sensor) AS mean FROM readings

SELECT id, avg(value) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS mean FROM readings

SELECT id, avg(value) OVER w AS mean FROM readings WINDOW w AS (ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)

SELECT id, avg(value) OVER (ORDER BY ts GROUPS 2 PRECEDING) AS mean FROM readings

SELECT id, avg(value) OVER (w ROWS 2 PRECEDING) AS mean FROM readings WINDOW w AS (ORDER BY ts)

SELECT id, avg(value) OVER (ORDER BY at) AS mean FROM readings

SELECT id, avg(value) OVER (ORDER BY ts DESC) AS mean FROM readings

SELECT id, row_number() OVER (PARTITION BY sensor ORDER BY value DESC) AS place FROM readings

SELECT id, avg(value) OVER (ORDER BY id) AS mean FROM timeless

SELECT id, avg(value) OVER (ORDER BY ts RANGE INTERVAL '1 month' PRECEDING) AS mean FROM readings

SELECT id, lag(value, -1) OVER (ORDER BY ts) AS next FROM readings

SELECT id, lag(value, id) OVER (ORDER BY ts) AS next FROM readings

SELECT id, lag(value, 1, value) OVER (ORDER BY ts) AS next FROM readings

SELECT id, nth_value(value, 0) OVER (ORDER BY ts) AS next FROM readings

SELECT id, nth_value(value, 2) IGNORE NULLS OVER (ORDER BY ts) AS next FROM readings

SELECT id, lag(value) FILTER (WHERE value > 1) OVER (ORDER BY ts) AS next FROM readings

SELECT id, upper(sensor) OVER (ORDER BY ts) AS next FROM readings

SELECT id, lag(value) AS before FROM readings

SELECT id, nosuch(value) OVER (ORDER BY ts) AS next FROM readings

SELECT id, avg(value) OVER nosuch AS next FROM readings

-- view v ttl 5000000
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '1 minute' PRECEDING) AS mean, lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS before FROM readings

-- view v ttl 5000000
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '1 second' PRECEDING) AS mean FROM readings

-- view minutes lateness 60000000
SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_end, lag(n) OVER (PARTITION BY sensor ORDER BY window_end) AS before FROM minutes
