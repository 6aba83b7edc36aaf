-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","tags":{"list":"string"}} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z","tags":["x","y"]}
-- {"id":2,"sensor":"b","value":50,"ts":"2026-01-01T00:00:02Z","tags":["x"]}
-- {"id":3,"sensor":"a","value":11,"ts":"2026-01-01T00:00:58Z","tags":[]}
-- {"id":4,"sensor":null,"value":1,"ts":"2026-01-01T00:00:30Z","tags":null}
-- next
-- {"id":5,"sensor":"a","value":null,"ts":"2026-01-01T00:01:00Z"}
-- {"id":6,"sensor":"b","value":7,"ts":"2026-01-01T00:00:59.999999Z","tags":["z"]}
-- {"id":8,"sensor":"a","value":4,"ts":"2026-01-01T00:00:59Z"}
-- next
-- {"id":9,"sensor":"c","value":2,"ts":null}
-- next
-- {"id":10,"sensor":"b","value":6,"ts":"2026-01-01T00:03:00Z","tags":["y"]}
-- {"id":11,"sensor":"a","value":8,"ts":"2026-01-01T00:01:30Z"}
-- input plain {"id":"int64","k":"string","v":"int64"}
-- {"id":1,"k":"x","v":9223372036854775800}
-- {"id":2,"k":"y","v":1}
-- {"id":3,"k":"x","v":8}
-- next
-- {"id":4,"k":"y","v":2}
-- {"id":5,"k":"x","v":7}
-- {"id":6,"k":"z","v":null}

-- The keys that changed with a frame, each once, in the order in which they first changed.
SELECT sensor, count(*) AS n, max(value) AS peak, count(DISTINCT value) FILTER (WHERE value > 5) AS kinds, first_value(id ORDER BY value DESC) AS best FROM readings GROUP BY sensor

-- Without event time too. A row by which a sum would overflow is refused alone.
SELECT k, sum(v) AS total, count(DISTINCT v) AS kinds FROM plain GROUP BY k

-- One row of all.
SELECT 'all' AS name, count(*) AS n FROM plain GROUP BY name

-- Conditions on keys, and whatever is computed of the rows.
SELECT upper(k) AS k, n * 2 AS twice FROM (SELECT k, count(*) AS n FROM plain GROUP BY k) AS g WHERE k <> 'y'

-- view groups
SELECT k, count(*) AS n FROM plain GROUP BY k
-- view v
SELECT k, n + 1 AS more FROM groups WHERE k <> 'x'

-- Rows that came out of windows.
SELECT sensor, max(n) AS most FROM (SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, sensor) AS w GROUP BY sensor

-- Each once, when it is first seen.
SELECT DISTINCT sensor FROM readings

SELECT k FROM plain GROUP BY k

SELECT DISTINCT date_trunc('minute', ts) AS minute, sensor IS NULL AS nobody FROM readings WHERE ts IS NOT NULL

-- The event time stays what it is, so that windows can follow.
-- view ones
SELECT DISTINCT ts, sensor FROM readings
-- view v
SELECT window_end, count(*) AS n FROM TUMBLE(ones, ts, INTERVAL '1 minute') GROUP BY window_end

-- In windows: for each.
SELECT DISTINCT window_end, sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute')

-- view w
SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, sensor
-- view v
SELECT DISTINCT window_end, n FROM w

-- Equal rows of both sides once.
SELECT sensor AS k FROM readings UNION SELECT k FROM plain

SELECT window_end, sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, sensor UNION SELECT window_end, sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute') WHERE value > 5 GROUP BY window_end, sensor

-- What cannot be.
SELECT count(*) FROM readings

SELECT max(value) FROM readings HAVING max(value) > 5

SELECT sensor, count(*) FROM readings GROUP BY sensor HAVING count(*) > 2

SELECT count(*) AS n FROM readings GROUP BY sensor

SELECT n, count(*) AS sensors FROM (SELECT sensor, count(*) AS n FROM readings GROUP BY sensor) AS g GROUP BY n

SELECT sensor, count(*) AS n FROM readings GROUP BY sensor UNION ALL SELECT k, v FROM plain

SELECT sensor, count(*) AS n FROM HOP(readings, ts, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY sensor

-- view g
SELECT sensor, count(*) AS n FROM readings GROUP BY sensor
-- view v
SELECT * FROM g WHERE n > 1

SELECT DISTINCT ON (sensor) * FROM readings

-- view v lateness 5000000
SELECT sensor, count(*) AS n FROM readings GROUP BY sensor
