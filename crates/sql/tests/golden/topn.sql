-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"sensor":"b","value":50,"ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"sensor":"a","value":11,"ts":"2026-01-01T00:00:58Z"}
-- {"id":4,"sensor":null,"value":1,"ts":"2026-01-01T00:00:30Z"}
-- next
-- {"id":5,"sensor":"a","value":null,"ts":"2026-01-01T00:01:00Z"}
-- {"id":6,"sensor":"b","value":7,"ts":"2026-01-01T00:00:59.999999Z"}
-- {"id":7,"sensor":"a","value":11,"ts":"2026-01-01T00:01:05Z"}
-- {"id":8,"sensor":"a","value":4,"ts":"2026-01-01T00:00:59Z"}
-- next
-- {"id":9,"sensor":"c","value":2,"ts":null}
-- {"id":10,"sensor":"b","value":60,"ts":"2026-01-01T00:03:00Z"}
-- {"id":11,"sensor":"a","value":8,"ts":"2026-01-01T00:01:30Z"}

-- The best so far: places that somebody else has come to.
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC NULLS LAST, id) AS n FROM readings) WHERE n <= 2

-- The last of each.
SELECT sensor, id, value FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY ts DESC) AS n FROM readings) WHERE n = 1

-- All rows are one partition.
SELECT id, value, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY value DESC NULLS LAST) AS n FROM readings) AS r WHERE 3 > n

-- Places in between.
SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY value) AS n FROM readings) AS r WHERE n BETWEEN 2 AND 3

SELECT id, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC NULLS LAST) AS n, sensor FROM readings QUALIFY n <= 1

-- Of each window the best, once it is complete.
SELECT * FROM (SELECT window_start, window_end, sensor, value, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY value DESC NULLS LAST) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute')) WHERE n <= 2

-- Of groups of each window.
SELECT window_end, sensor, events, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY events DESC, sensor) AS n FROM (SELECT window_end, sensor, count(*) AS events FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, sensor) AS g) AS r WHERE n < 3

-- view g
SELECT window_start, window_end, sensor, count(*) AS events FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_start, sensor, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY events DESC, sensor DESC) AS n FROM g) AS r WHERE n <= 1

-- By event time itself.
SELECT ts, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY ts ORDER BY id) AS n FROM readings) AS r WHERE n = 1

-- What is best of a window is grouped again.
SELECT window_end, sum(value) AS total FROM (SELECT window_end, value, ROW_NUMBER() OVER (PARTITION BY window_end, sensor ORDER BY value DESC NULLS LAST) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute')) AS r WHERE n = 1 GROUP BY window_end

-- view tops
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC NULLS LAST, id) AS n FROM readings) WHERE n <= 2
-- view v
SELECT sensor, n, value * 2 AS twice FROM tops WHERE n = 1

-- What cannot be.
SELECT id, sensor FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2

SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY upper(sensor) ORDER BY value DESC) AS n FROM readings) WHERE n <= 2

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2 AND value > 5

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 200000

SELECT sensor, count(*) AS c FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) AS r WHERE n <= 2 GROUP BY sensor

-- view v
SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY n ORDER BY sensor) AS n2 FROM (SELECT sensor, count(*) AS n FROM readings GROUP BY sensor) AS g) AS r WHERE n2 = 1
