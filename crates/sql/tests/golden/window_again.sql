-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"sensor":"b","value":50,"ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"sensor":"a","value":11,"ts":"2026-01-01T00:00:58Z"}
-- {"id":4,"sensor":null,"value":1,"ts":"2026-01-01T00:00:30Z"}
-- next
-- {"id":5,"sensor":"a","value":null,"ts":"2026-01-01T00:01:00Z"}
-- {"id":6,"sensor":"b","value":7,"ts":"2026-01-01T00:00:59.999999Z"}
-- {"id":7,"sensor":"a","value":3,"ts":"2026-01-01T00:01:05Z"}
-- {"id":8,"sensor":"a","value":4,"ts":"2026-01-01T00:00:59Z"}
-- next
-- {"id":10,"sensor":"a","value":6,"ts":"2026-01-01T00:03:00Z"}
-- {"id":11,"sensor":"a","value":8,"ts":"2026-01-01T00:01:30Z"}

SELECT window_start, window_end, first_value(sensor ORDER BY n DESC, sensor) AS busiest, max(n) AS n, count(*) AS sensors FROM (SELECT window_start, window_end, sensor, count(*) AS n FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end, sensor) GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), busiest Utf8?, n Int64?, sensors Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: HOP of 1 minute every 30 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sensor, count(*) AS n
-- plan   compute event time, sensor, n
-- plan window 2: the windows that rows came out of
-- plan   compute count(*), first_value(sensor ORDER BY n DESC, sensor), max(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_start, window_end, first_value(sensor ORDER BY n DESC, sensor) AS busiest, max(n) AS n, count(*) AS sensors
-- row 0/-/0 {"window_start":"2025-12-31T23:59:30Z","window_end":"2026-01-01T00:00:30Z","busiest":"a","n":1,"sensors":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","busiest":"a","n":2,"sensors":3}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","window_end":"2026-01-01T00:01:30Z","busiest":"a","n":4,"sensors":3}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","busiest":"a","n":2,"sensors":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:30Z","window_end":"2026-01-01T00:03:30Z","busiest":"a","n":1,"sensors":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","busiest":"a","n":1,"sensors":1}
-- late 2/0/1 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- account in 10 + made 17 = out 6 + filtered 0 + set aside 0 + absorbed 20 + late 1

-- view counts
SELECT window_start, window_end, sensor, count(*) AS n FROM CUMULATE(readings, ts, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view hot
SELECT window_start, window_end, max(n) AS n, sum(n) AS rows FROM counts GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64?, rows Int64?
-- plan scan counts (window_start, window_end, n)
-- plan   compute event time, n
-- plan window 1: the windows that rows came out of
-- plan   compute max(n), sum(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, max(n) AS n, sum(n) AS rows
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:20Z","n":1,"rows":2}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:40Z","n":1,"rows":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":2,"rows":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:01:20Z","n":2,"rows":2}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:01:40Z","n":2,"rows":2}
-- row 2/-/2 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","n":2,"rows":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:20Z","n":1,"rows":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:40Z","n":1,"rows":1}
-- row 3/-/2 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","n":1,"rows":1}
-- account in 13 + made 9 = out 9 + filtered 0 + set aside 0 + absorbed 13 + late 0

-- view sessions
SELECT window_start, window_end, sensor, count(*) AS n FROM SESSION(readings, ts, INTERVAL '20 seconds', sensor) GROUP BY window_start, window_end, sensor
-- view alike
SELECT window_start, window_end, sum(n) AS n, count(*) AS sensors FROM sessions GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64?, sensors Int64
-- plan scan sessions (window_start, window_end, n)
-- plan   compute window_start, event time, n
-- plan window 1: the windows that rows came out of, by window_start
-- plan   compute count(*), sum(n)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sum(n) AS n, count(*) AS sensors
-- row 0/-/0 {"window_start":"2026-01-01T00:00:01Z","window_end":"2026-01-01T00:00:21Z","n":1,"sensors":1}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:02Z","window_end":"2026-01-01T00:00:22Z","n":1,"sensors":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:59.999999Z","window_end":"2026-01-01T00:01:19.999999Z","n":1,"sensors":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:58Z","window_end":"2026-01-01T00:01:25Z","n":4,"sensors":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:20Z","n":1,"sensors":1}
-- account in 5 + made 5 = out 5 + filtered 0 + set aside 0 + absorbed 5 + late 0

-- view cut
SELECT id, value, window_start, window_end, ts FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- view v
WITH c AS (SELECT * FROM cut WHERE value > 3) SELECT window_start, window_end, extract(minute FROM window_start) AS minute, count(*) AS n FROM c GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), minute Int64, n Int64
-- plan scan cut (value, window_start, window_end)
-- plan   filter value > 3.0
-- plan   project window_start, window_end
-- plan   compute event time
-- plan window 1: the windows that rows came out of
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, CAST(date_part('MINUTE', window_start) AS int64) AS minute, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","minute":0,"n":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","minute":3,"n":1}
-- late 1/0/3 {"id":8,"value":4.0,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","ts":"2026-01-01T00:00:59Z"}
-- late 2/0/1 {"id":11,"value":8.0,"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","ts":"2026-01-01T00:01:30Z"}
-- account in 10 + made 2 = out 2 + filtered 3 + set aside 0 + absorbed 5 + late 2

-- view per_minute
SELECT window_time, window_end, sensor, sum(value) AS total FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, window_time, sensor
-- view per_window
SELECT window_end, sum(total) AS total FROM per_minute GROUP BY window_end
-- view per_hour
SELECT window_start, window_end, sum(total) AS total FROM TUMBLE(per_window, window_end, INTERVAL '1 hour') GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), total Float64?
-- plan scan per_window (window_end, total)
-- plan   project total, window_start, window_end
-- plan window 1: TUMBLE of 1 hour of window_end
-- plan   compute sum(total)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sum(total) AS total
-- row 3/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T01:00:00Z","total":83.0}
-- account in 3 + made 1 = out 1 + filtered 0 + set aside 0 + absorbed 3 + late 0

SELECT window_start, max(n) FROM (SELECT window_start, window_end, count(*) AS n FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end) GROUP BY window_start
-- error v: 1:149 windows that rows came out of are told by their end
--  fix: add `window_end` to `GROUP BY`, and to the columns below

SELECT sensor, max(n) FROM (SELECT window_start, window_end, sensor, count(*) AS n FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end, sensor) GROUP BY sensor
-- columns sensor Utf8?, max Int64?
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: HOP of 1 minute every 30 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project sensor, count(*) AS n
-- plan group 2: by sensor
-- plan   compute max(n)
-- plan   give the rows of keys that changed, at the end of each frame
-- plan   keep a state for each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- plan rows of group 2
-- plan   project sensor, max(n) AS max
-- updates by sensor
-- row 0/-/0 {"sensor":"a","max":1}
-- row 0/-/1 {"sensor":"b","max":1}
-- row 1/-/0 {"sensor":null,"max":1}
-- row 1/-/1 {"sensor":"a","max":2}
-- row 1/-/2 {"sensor":"b","max":2}
-- row 2/-/0 {"sensor":null,"max":1}
-- row 2/-/1 {"sensor":"a","max":4}
-- row 2/-/2 {"sensor":"b","max":2}
-- row 3/-/0 {"sensor":"a","max":4}
-- late 2/0/1 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- account in 10 + made 20 = out 9 + filtered 0 + set aside 0 + absorbed 20 + late 1
