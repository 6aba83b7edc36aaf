-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","tags":{"list":"string"}} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z","tags":["x","y"]}
-- {"id":2,"sensor":"b","value":50,"ts":"2026-01-01T00:00:02Z","tags":["x"]}
-- {"id":3,"sensor":"a","value":11,"ts":"2026-01-01T00:00:58Z","tags":[]}
-- {"id":4,"sensor":null,"value":1,"ts":"2026-01-01T00:00:30Z","tags":null}
-- next
-- {"id":5,"sensor":"a","value":null,"ts":"2026-01-01T00:01:00Z"}
-- {"id":6,"sensor":"b","value":7,"ts":"2026-01-01T00:00:59.999999Z","tags":["z"]}
-- {"id":7,"sensor":"a","value":3,"ts":"2026-01-01T00:01:05Z"}
-- {"id":8,"sensor":"a","value":4,"ts":"2026-01-01T00:00:59Z"}
-- next
-- {"id":9,"sensor":"c","value":2,"ts":null}
-- {"id":10,"sensor":"a","value":6,"ts":"2026-01-01T00:03:00Z","tags":["y"]}
-- {"id":11,"sensor":"a","value":8,"ts":"2026-01-01T00:01:30Z"}

SELECT window_start, window_end, sensor, count(*) AS n, avg(value) AS mean, max(value) AS peak FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), sensor Utf8?, n Int64, mean Float64?, peak Float64?
-- plan scan readings (sensor, value, ts)
-- plan   project sensor, value, window_start, window_end
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute avg(value), count(*), max(value)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sensor, count(*) AS n, avg(value) AS mean, max(value) AS peak
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","sensor":null,"n":1,"mean":1.0,"peak":1.0}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","sensor":"a","n":2,"mean":8.0,"peak":11.0}
-- row 1/-/2 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","sensor":"b","n":2,"mean":28.5,"peak":50.0}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","sensor":"a","n":2,"mean":3.0,"peak":3.0}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","sensor":"a","n":1,"mean":6.0,"peak":6.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT sensor, window_time, sum(value) AS total FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY sensor, window_time HAVING sum(value) > 5
-- columns sensor Utf8?, window_time Timestamp(µs, "UTC"), total Float64?
-- plan scan readings (sensor, value, ts)
-- plan   project sensor, value, window_time
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute sum(value)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   filter sum(value) > 5.0
-- plan   project sensor, window_time, sum(value) AS total
-- row 1/-/0 {"sensor":"a","window_time":"2026-01-01T00:00:59.999999Z","total":16.0}
-- row 1/-/1 {"sensor":"b","window_time":"2026-01-01T00:00:59.999999Z","total":57.0}
-- row 3/-/0 {"sensor":"a","window_time":"2026-01-01T00:03:59.999999Z","total":6.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 3 + filtered 2 + set aside 1 + absorbed 8 + late 2

SELECT window_start, window_end, count(*) AS n FROM HOP(readings, ts, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_start, window_end
-- plan window 1: HOP of 1 minute every 20 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, count(*) AS n
-- row 0/-/0 {"window_start":"2025-12-31T23:59:20Z","window_end":"2026-01-01T00:00:20Z","n":2}
-- row 0/-/1 {"window_start":"2025-12-31T23:59:40Z","window_end":"2026-01-01T00:00:40Z","n":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:20Z","window_end":"2026-01-01T00:01:20Z","n":6}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:40Z","window_end":"2026-01-01T00:01:40Z","n":5}
-- row 2/-/2 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:20Z","window_end":"2026-01-01T00:03:20Z","n":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:02:40Z","window_end":"2026-01-01T00:03:40Z","n":1}
-- row 3/-/2 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 9 = out 9 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_start, window_end, count(value) AS n FROM CUMULATE(readings, ts, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (value, ts)
-- plan   project value, window_start, window_end
-- plan window 1: CUMULATE by 20 seconds up to 1 minute of ts
-- plan   compute count(value)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, count(value) AS n
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:20Z","n":2}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:40Z","n":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:01:20Z","n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:01:40Z","n":1}
-- row 2/-/2 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","n":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:20Z","n":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:40Z","n":1}
-- row 3/-/2 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 9 = out 9 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, window_end, sensor, count(*) AS n FROM SESSION(readings, ts, INTERVAL '40 seconds', sensor) GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: SESSION with gaps of 40 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each session and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sensor, count(*) AS n
-- row 0/-/0 {"window_start":"2026-01-01T00:00:01Z","window_end":"2026-01-01T00:00:41Z","sensor":"a","n":1}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:02Z","window_end":"2026-01-01T00:00:42Z","sensor":"b","n":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","window_end":"2026-01-01T00:01:10Z","sensor":null,"n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:59.999999Z","window_end":"2026-01-01T00:01:39.999999Z","sensor":"b","n":1}
-- row 2/-/2 {"window_start":"2026-01-01T00:00:58Z","window_end":"2026-01-01T00:01:45Z","sensor":"a","n":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:03:40Z","sensor":"a","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT id, window_start, window_end, window_time FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- columns id Int64?, window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), window_time Timestamp(µs, "UTC")
-- plan scan readings (id, ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project id, window_start, window_end, window_time
-- row 0/0/0 {"id":1,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 0/0/1 {"id":2,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 0/0/2 {"id":3,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 0/0/3 {"id":4,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 1/0/0 {"id":5,"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","window_time":"2026-01-01T00:01:59.999999Z"}
-- row 1/0/1 {"id":6,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 1/0/2 {"id":7,"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","window_time":"2026-01-01T00:01:59.999999Z"}
-- row 1/0/3 {"id":8,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","window_time":"2026-01-01T00:00:59.999999Z"}
-- row 2/0/1 {"id":10,"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","window_time":"2026-01-01T00:03:59.999999Z"}
-- row 2/0/2 {"id":11,"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","window_time":"2026-01-01T00:01:59.999999Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 0 = out 10 + filtered 0 + set aside 1

SELECT id, window_start FROM HOP(readings, ts, INTERVAL '40 seconds', INTERVAL '1 minute') AS w WHERE w.window_start > TIMESTAMP '2026-01-01 00:00:00Z'
-- columns id Int64?, window_start Timestamp(µs, "UTC")
-- plan scan readings (id, ts)
-- plan   add the columns of HOP of 1 minute every 40 seconds of ts
-- plan   project id, window_start
-- plan   filter window_start > TIMESTAMP '2026-01-01T00:00:00Z'
-- row 0/0/2 {"id":3,"window_start":"2026-01-01T00:00:40Z"}
-- row 1/0/0 {"id":5,"window_start":"2026-01-01T00:00:40Z"}
-- row 1/0/1 {"id":6,"window_start":"2026-01-01T00:00:40Z"}
-- row 1/0/2 {"id":7,"window_start":"2026-01-01T00:00:40Z"}
-- row 1/0/3 {"id":8,"window_start":"2026-01-01T00:00:40Z"}
-- row 2/0/1 {"id":10,"window_start":"2026-01-01T00:02:40Z"}
-- row 2/0/2 {"id":11,"window_start":"2026-01-01T00:00:40Z"}
-- row 2/0/2 {"id":11,"window_start":"2026-01-01T00:01:20Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 8 + filtered 8 + set aside 1

-- view minutes
SELECT window_start, window_end, window_time, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, window_time, sensor
-- view twos
SELECT window_start, window_end, sum(n) AS n, count(*) AS sensors FROM TUMBLE(minutes, window_time, INTERVAL '2 minutes') GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64?, sensors Int64
-- plan scan minutes (window_time, n)
-- plan   project n, window_start, window_end
-- plan window 1: TUMBLE of 2 minutes of window_time
-- plan   compute count(*), sum(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, sum(n) AS n, count(*) AS sensors
-- row 2/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:02:00Z","n":7,"sensors":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:00Z","window_end":"2026-01-01T00:04:00Z","n":1,"sensors":1}
-- account in 5 + made 2 = out 2 + filtered 0 + set aside 0 + absorbed 5 + late 0

WITH minutes AS (SELECT window_start, window_end, window_time, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, window_time, sensor) SELECT window_start, window_end, sum(n) AS n, count(*) AS sensors FROM TUMBLE(minutes, window_time, INTERVAL '2 minutes') GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64?, sensors Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end, window_time
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_time, count(*) AS n
-- plan   project n, window_start, window_end
-- plan window 2: TUMBLE of 2 minutes of window_time
-- plan   compute count(*), sum(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_start, window_end, sum(n) AS n, count(*) AS sensors
-- row 2/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:02:00Z","n":7,"sensors":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:00Z","window_end":"2026-01-01T00:04:00Z","n":1,"sensors":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 7 = out 2 + filtered 0 + set aside 1 + absorbed 13 + late 2

-- view v lateness 60000000
SELECT window_start, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end and 1 minute of `allowed_lateness` more, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- updates by window_start, sensor
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":null,"n":1}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","sensor":"a","n":3}
-- row 1/-/2 {"window_start":"2026-01-01T00:00:00Z","sensor":"b","n":2}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","sensor":"a","n":3}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"a","n":1}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 1 + absorbed 10 + late 0

-- One of the window's columns is enough to group by, but for windows that begin together.
SELECT count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_time
-- columns n Int64
-- plan scan readings (ts)
-- plan   project window_time
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project count(*) AS n
-- row 1/-/0 {"n":5}
-- row 2/-/0 {"n":2}
-- row 3/-/0 {"n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_end, count(*) AS n FROM CUMULATE(readings, ts, INTERVAL '30' SECOND, INTERVAL '1' MINUTE) GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_end
-- plan window 1: CUMULATE by 30 seconds up to 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, count(*) AS n
-- row 0/-/0 {"window_end":"2026-01-01T00:00:30Z","n":2}
-- row 1/-/0 {"window_end":"2026-01-01T00:01:00Z","n":5}
-- row 2/-/0 {"window_end":"2026-01-01T00:01:30Z","n":2}
-- row 2/-/1 {"window_end":"2026-01-01T00:02:00Z","n":2}
-- row 3/-/0 {"window_end":"2026-01-01T00:03:30Z","n":1}
-- row 3/-/1 {"window_end":"2026-01-01T00:04:00Z","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, count(*) AS n FROM CUMULATE(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:108 windows of `CUMULATE` begin together, so that `window_start` alone does not tell them apart
--  fix: add `window_end` to `GROUP BY`

-- Expressions as keys, of the row and of the window.
SELECT upper(sensor) AS s, date_trunc('hour', window_start) AS hour, window_end, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY upper(sensor), date_trunc('hour', window_start), window_end
-- columns s Utf8?, hour Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan   compute upper(sensor), event time
-- plan window 1: TUMBLE of 1 minute of ts, by upper(sensor)
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project upper(sensor) AS s, date_trunc('hour', window_start) AS hour, window_end, count(*) AS n
-- row 1/-/0 {"s":null,"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":1}
-- row 1/-/1 {"s":"A","hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":2}
-- row 1/-/2 {"s":"B","hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":2}
-- row 2/-/0 {"s":"A","hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:02:00Z","n":2}
-- row 3/-/0 {"s":"A","hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:04:00Z","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT date_trunc('hour', window_start) AS hour, window_end, count(*) AS n FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY 1, 2
-- columns hour Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_start, window_end
-- plan window 1: HOP of 1 minute every 30 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project date_trunc('hour', window_start) AS hour, window_end, count(*) AS n
-- row 0/-/0 {"hour":"2025-12-31T23:00:00Z","window_end":"2026-01-01T00:00:30Z","n":2}
-- row 1/-/0 {"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":5}
-- row 2/-/0 {"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:30Z","n":6}
-- row 2/-/1 {"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:02:00Z","n":2}
-- row 3/-/0 {"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:03:30Z","n":1}
-- row 3/-/1 {"hour":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:04:00Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_start, 'x' AS x, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, 'x'
-- columns window_start Timestamp(µs, "UTC"), x Utf8, n Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts, by 'x'
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, 'x' AS x, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","x":"x","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","x":"x","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","x":"x","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

-- Conditions on the window, before and behind.
SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') WHERE window_start >= TIMESTAMP '2026-01-01 00:01:00Z' AND value > 2 GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (value, ts)
-- plan   filter value > 2.0
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   filter window_start >= TIMESTAMP '2026-01-01T00:01:00Z'
-- plan   project window_start, count(*) AS n
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","n":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- account in 11 + made 3 = out 2 + filtered 4 + set aside 0 + absorbed 6 + late 2

SELECT window_start, count(*) AS n FROM HOP(readings, ts, INTERVAL '20 seconds', INTERVAL '1 minute') WHERE window_start >= TIMESTAMP '2026-01-01 00:00:20Z' AND value > 2 GROUP BY window_start HAVING window_start < TIMESTAMP '2026-01-01 00:02:00Z' AND count(*) > 1
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (value, ts)
-- plan   filter value > 2.0
-- plan   project window_start
-- plan window 1: HOP of 1 minute every 20 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   filter window_start >= TIMESTAMP '2026-01-01T00:00:20Z'
-- plan   filter window_start < TIMESTAMP '2026-01-01T00:02:00Z'
-- plan   filter count(*) > 1
-- plan   project window_start, count(*) AS n
-- row 2/-/0 {"window_start":"2026-01-01T00:00:20Z","n":4}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:40Z","n":4}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- account in 11 + made 9 = out 2 + filtered 10 + set aside 0 + absorbed 7 + late 1

SELECT window_start, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') WHERE ts > window_start + INTERVAL '30 seconds' GROUP BY window_start, sensor HAVING sensor = 'a'
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   filter sensor = 'a'
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project sensor, ts, window_start
-- plan   filter ts > (window_start + INTERVAL '30 seconds')
-- plan   project sensor, window_start
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":"a","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- account in 11 + made 1 = out 1 + filtered 9 + set aside 0 + absorbed 1 + late 1

SELECT window_start, max(ts - window_start) AS most, count(*) FILTER (WHERE ts = window_start) AS first FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), most Duration(µs)?, first Int64
-- plan scan readings (ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project ts, window_start
-- plan   compute event time, window_start = ts, ts - window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*) FILTER (WHERE window_start = ts), max(ts - window_start)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, max(ts - window_start) AS most, count(*) FILTER (WHERE window_start = ts) AS first
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","most":"PT59.999999S","first":0}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","most":"PT5S","first":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","most":"P0D","first":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_end, max(window_end - ts) AS most FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), most Duration(µs)?
-- plan scan readings (ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project ts, window_end
-- plan   compute event time, window_end - ts
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute max(window_end - ts)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, max(window_end - ts) AS most
-- row 1/-/0 {"window_end":"2026-01-01T00:01:00Z","most":"PT59S"}
-- row 2/-/0 {"window_end":"2026-01-01T00:02:00Z","most":"PT60S"}
-- row 3/-/0 {"window_end":"2026-01-01T00:04:00Z","most":"PT60S"}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, max(ts - window_start) AS most FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:120 `max(ts - window_start)` is computed of the window's columns before rows are grouped, which only `TUMBLE` can do: a row is in several windows
--  fix: group by `window_start` and `window_end` as they are, and compute it of the result: in the `SELECT` list, in `HAVING`, or in an outer `SELECT`

SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') WHERE window_start > TIMESTAMP '2026-01-01 00:00:30Z' OR value > 10 GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (value, ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project value, window_start
-- plan   filter (window_start > TIMESTAMP '2026-01-01T00:00:30Z') OR (value > 10.0)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","n":2}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 4 + set aside 1 + absorbed 5 + late 1

SELECT window_start, count(*) AS n FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE window_start > TIMESTAMP '2026-01-01 00:00:30Z' OR value > 10 GROUP BY window_start
-- error v: 1:171 `(window_start > TIMESTAMP '2026-01-01T00:00:30Z') OR (value > 10.0)` is computed of the window's columns before rows are grouped, which only `TUMBLE` can do: a row is in several windows
--  fix: group by `window_start` and `window_end` as they are, and compute it of the result: in the `SELECT` list, in `HAVING`, or in an outer `SELECT`

-- Aggregates of all kinds.
SELECT window_start, count(DISTINCT sensor) AS kinds, sum(value) FILTER (WHERE sensor = 'a') AS a, array_agg(id ORDER BY id DESC) AS ids, string_agg(sensor, '-' ORDER BY id) AS names, first_value(id ORDER BY value) AS least, median(value) AS mid, mean(value) AS mean, var(value) AS var, stddev_pop(value) AS dev, approx_distinct(sensor) AS about, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS half, bool_and(value > 0) AS pos, corr(id, value) AS corr FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), kinds Int64, a Float64?, ids List(Int64)?, names Utf8?, least Int64?, mid Float64?, mean Float64?, var Float64?, dev Float64?, about Int64, half Float64?, pos Boolean?, corr Float64?
-- plan scan readings (id, sensor, value, ts)
-- plan   project id, sensor, value, window_start
-- plan   compute event time, sensor, id, value, value > 0.0, CAST(id AS float64), sensor = 'a'
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute approx_distinct(sensor), array_agg(id ORDER BY id DESC), avg(value), bool_and(value > 0.0), corr(CAST(id AS float64), value), count(DISTINCT sensor), first_value(id ORDER BY value), median(value), percentile_cont(value, 0.5 ORDER BY value), stddev_pop(value), string_agg(sensor, '-' ORDER BY id), sum(value) FILTER (WHERE sensor = 'a'), var(value)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan   keep every value for array_agg(id ORDER BY id DESC), count(DISTINCT sensor), median(value), percentile_cont(value, 0.5 ORDER BY value), string_agg(sensor, '-' ORDER BY id)
-- plan rows of window 1
-- plan   project window_start, count(DISTINCT sensor) AS kinds, sum(value) FILTER (WHERE sensor = 'a') AS a, array_agg(id ORDER BY id DESC) AS ids, CAST(string_agg(sensor, '-' ORDER BY id) AS string) AS names, first_value(id ORDER BY value) AS least, median(value) AS mid, avg(value) AS mean, var(value) AS var, stddev_pop(value) AS dev, CAST(approx_distinct(sensor) AS int64) AS about, percentile_cont(value, 0.5 ORDER BY value) AS half, bool_and(value > 0.0) AS pos, corr(CAST(id AS float64), value) AS corr
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","kinds":2,"a":16.0,"ids":[6,4,3,2,1],"names":"a-b-a-b","least":4,"mid":7.0,"mean":14.8,"var":400.2,"dev":17.89301539707603,"about":2,"half":7.0,"pos":true,"corr":-0.3430319143790975}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","kinds":1,"a":3.0,"ids":[7,5],"names":"a-a","least":7,"mid":3.0,"mean":3.0,"var":null,"dev":0.0,"about":1,"half":3.0,"pos":true,"corr":null}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","kinds":1,"a":6.0,"ids":[10],"names":"a","least":10,"mid":6.0,"mean":6.0,"var":null,"dev":0.0,"about":1,"half":6.0,"pos":true,"corr":null}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, count() AS n, min(ts) AS first, max(ts) AS last FROM TUMBLE(readings, ts, INTERVAL '1 minute', INTERVAL '30 seconds') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64, first Timestamp(µs, "UTC")?, last Timestamp(µs, "UTC")?
-- plan scan readings (ts)
-- plan   project ts, window_start
-- plan window 1: TUMBLE of 1 minute from 30 seconds on of ts
-- plan   compute count(*), max(ts), min(ts)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, count(*) AS n, min(ts) AS first, max(ts) AS last
-- row 0/-/0 {"window_start":"2025-12-31T23:59:30Z","n":2,"first":"2026-01-01T00:00:01Z","last":"2026-01-01T00:00:02Z"}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","n":6,"first":"2026-01-01T00:00:30Z","last":"2026-01-01T00:01:05Z"}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:30Z","n":1,"first":"2026-01-01T00:03:00Z","last":"2026-01-01T00:03:00Z"}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 9 + late 1

-- The same in other spellings.
SELECT window_start, sensor, count(*) AS n FROM TABLE(SESSION(TABLE readings PARTITION BY sensor, DESCRIPTOR(ts), INTERVAL '40' SECONDS)) GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: SESSION with gaps of 40 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each session and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- row 0/-/0 {"window_start":"2026-01-01T00:00:01Z","sensor":"a","n":1}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:02Z","sensor":"b","n":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","sensor":null,"n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:59.999999Z","sensor":"b","n":1}
-- row 2/-/2 {"window_start":"2026-01-01T00:00:58Z","sensor":"a","n":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"a","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_start, count(*) AS n FROM TABLE(HOP(DATA => TABLE readings, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '30' SECOND, SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: HOP of 1 minute every 30 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, count(*) AS n
-- row 0/-/0 {"window_start":"2025-12-31T23:59:30Z","n":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","n":6}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:30Z","n":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:03:00Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_start, count(*) AS n FROM TUMBLE(SIZE => INTERVAL '1' MINUTE, TIMECOL => DESCRIPTOR(ts), DATA => TABLE readings) AS w GROUP BY w.window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT w.window_start, w.sensor, count(*) AS n FROM session(readings, readings.ts, INTERVAL '1 minute' - INTERVAL '20 seconds', sensor) AS w GROUP BY w.window_start, w.window_end, w.sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: SESSION with gaps of 40 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each session and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- row 0/-/0 {"window_start":"2026-01-01T00:00:01Z","sensor":"a","n":1}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:02Z","sensor":"b","n":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","sensor":null,"n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:59.999999Z","sensor":"b","n":1}
-- row 2/-/2 {"window_start":"2026-01-01T00:00:58Z","sensor":"a","n":4}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"a","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 6 = out 6 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_start, count(*) AS n FROM TUMBLE(TABLE "readings", DESCRIPTOR(`ts`), INTERVAL '2' MINUTES, INTERVAL '30' SECONDS) GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 2 minutes from 30 seconds on of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, count(*) AS n
-- row 0/-/0 {"window_start":"2025-12-31T23:58:30Z","n":2}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","n":6}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:30Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 9 + late 1

SELECT window_end, count(*) AS n FROM HOP(readings, ts, INTERVAL 90 SECOND, INTERVAL '1.5 minutes') GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_end
-- plan window 1: HOP of 90 seconds every 90 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, count(*) AS n
-- row 2/-/0 {"window_end":"2026-01-01T00:01:30Z","n":8}
-- row 3/-/0 {"window_end":"2026-01-01T00:03:00Z","n":1}
-- row 3/-/1 {"window_end":"2026-01-01T00:04:30Z","n":1}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 10 + late 0

SELECT window_end, count(*) AS n FROM CUMULATE(readings, ts, INTERVAL '1 day 12 hours', INTERVAL '1 week' - INTERVAL '1' DAY) GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (ts)
-- plan   project window_end
-- plan window 1: CUMULATE by 36 hours up to 6 days of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, count(*) AS n
-- row 3/-/0 {"window_end":"2026-01-02T12:00:00Z","n":10}
-- row 3/-/1 {"window_end":"2026-01-04T00:00:00Z","n":10}
-- row 3/-/2 {"window_end":"2026-01-05T12:00:00Z","n":10}
-- row 3/-/3 {"window_end":"2026-01-07T00:00:00Z","n":10}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 4 = out 4 + filtered 0 + set aside 1 + absorbed 10 + late 0

-- Steps before a window: a view, a filter, names, UNNEST.
-- view tagged
SELECT at, tag, value FROM (SELECT ts AS at, unnest(tags) AS tag, value FROM readings WHERE value > 1)
-- view v
SELECT window_start, tag, count(*) AS n FROM TUMBLE(tagged, at, INTERVAL '1 minute') GROUP BY window_start, tag
-- columns window_start Timestamp(µs, "UTC"), tag Utf8?, n Int64
-- plan scan tagged (at, tag)
-- plan   project tag, window_start
-- plan window 1: TUMBLE of 1 minute of at, by tag
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, tag, count(*) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","tag":"x","n":2}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","tag":"y","n":1}
-- row 1/-/2 {"window_start":"2026-01-01T00:00:00Z","tag":"z","n":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","tag":"y","n":1}
-- account in 5 + made 4 = out 4 + filtered 0 + set aside 0 + absorbed 5 + late 0

WITH hot AS (SELECT ts AS at, sensor FROM readings WHERE value > 5) SELECT window_start, sensor, count(*) AS n FROM SESSION(hot, at, INTERVAL '1 minute', sensor) GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, value, ts)
-- plan   filter value > 5.0
-- plan   project ts AS at, sensor
-- plan   project sensor, window_start, window_end
-- plan window 1: SESSION with gaps of 1 minute of at, by sensor
-- plan   compute count(*)
-- plan   keep a state for each session and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- row 2/-/0 {"window_start":"2026-01-01T00:00:58Z","sensor":"a","n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:02Z","sensor":"b","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"a","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- account in 11 + made 3 = out 3 + filtered 6 + set aside 0 + absorbed 4 + late 1

-- Equal rows of a window, and windows in branches.
SELECT DISTINCT window_start, sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?
-- plan scan readings (sensor, ts)
-- plan   project window_start, sensor
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":null}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","sensor":"a"}
-- row 1/-/2 {"window_start":"2026-01-01T00:00:00Z","sensor":"b"}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","sensor":"a"}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"a"}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, 'one' AS what, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start UNION ALL SELECT window_start, 'two', count(*) FROM TUMBLE(readings, ts, INTERVAL '2 minutes') GROUP BY window_start UNION ALL SELECT ts, 'row', id FROM readings WHERE id = 1
-- columns window_start Timestamp(µs, "UTC")?, what Utf8, n Int64?
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 2: TUMBLE of 2 minutes of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, 'one' AS what, count(*) AS n
-- plan rows of window 2
-- plan   project window_start, 'two' AS what, count(*) AS n
-- plan scan readings (id, ts)
-- plan   filter id = 1
-- plan   project ts AS window_start, 'row' AS what, id AS n
-- row 0/0/0 {"window_start":"2026-01-01T00:00:01Z","what":"row","n":1}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","what":"one","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","what":"one","n":2}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:00Z","what":"two","n":8}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","what":"one","n":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:02:00Z","what":"two","n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 33 + made 5 = out 6 + filtered 10 + set aside 2 + absorbed 17 + late 3

WITH both AS (SELECT sensor, window_start, window_end FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE id > 3 UNION ALL SELECT sensor, window_start, window_end FROM HOP(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE id <= 3) SELECT window_start, window_end, count(*) AS n FROM both GROUP BY window_start, window_end
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), n Int64
-- plan scan readings (id, ts)
-- plan   filter id > 3
-- plan   project window_start, window_end
-- plan scan readings (id, ts)
-- plan   filter id <= 3
-- plan   project window_start, window_end
-- plan window 1: HOP of 1 minute every 30 seconds of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, window_end, count(*) AS n
-- row 0/-/0 {"window_start":"2025-12-31T23:59:30Z","window_end":"2026-01-01T00:00:30Z","n":2}
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","n":5}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:30Z","window_end":"2026-01-01T00:01:30Z","n":6}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:02:30Z","window_end":"2026-01-01T00:03:30Z","n":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","n":1}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 22 + made 6 = out 6 + filtered 11 + set aside 1 + absorbed 9 + late 1

-- A window over a window, by its start, which lags by the size.
WITH minutes AS (SELECT window_start AS at, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start) SELECT window_start, max(n) AS most FROM HOP(minutes, at, INTERVAL '1 minute', INTERVAL '2 minutes') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), most Int64?
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start AS at, count(*) AS n
-- plan   project n, window_start
-- plan window 2: HOP of 2 minutes every 1 minute of at
-- plan   compute max(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_start, max(n) AS most
-- row 2/-/0 {"window_start":"2025-12-31T23:59:00Z","most":5}
-- row 3/-/0 {"window_start":"2026-01-01T00:00:00Z","most":5}
-- row 3/-/1 {"window_start":"2026-01-01T00:01:00Z","most":2}
-- row 3/-/2 {"window_start":"2026-01-01T00:02:00Z","most":1}
-- row 3/-/3 {"window_start":"2026-01-01T00:03:00Z","most":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 8 = out 5 + filtered 0 + set aside 1 + absorbed 11 + late 2

-- Rows with windows, grouped by nothing.
SELECT id, window_start, window_end FROM CUMULATE(readings, ts, INTERVAL '30 seconds', INTERVAL '1 minute') WHERE id < 4
-- columns id Int64?, window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC")
-- plan scan readings (id, ts)
-- plan   filter id < 4
-- plan   add the columns of CUMULATE by 30 seconds up to 1 minute of ts
-- plan   project id, window_start, window_end
-- row 0/0/0 {"id":1,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:30Z"}
-- row 0/0/0 {"id":1,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z"}
-- row 0/0/1 {"id":2,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:00:30Z"}
-- row 0/0/1 {"id":2,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z"}
-- row 0/0/2 {"id":3,"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z"}
-- account in 11 + made 2 = out 5 + filtered 8 + set aside 0

SELECT id, window_start FROM HOP(readings, ts, INTERVAL '2 minutes', INTERVAL '1 minute')
-- columns id Int64?, window_start Timestamp(µs, "UTC")
-- plan scan readings (id, ts)
-- plan   add the columns of HOP of 1 minute every 2 minutes (rows between them are in none) of ts
-- plan   project id, window_start
-- row 0/0/0 {"id":1,"window_start":"2026-01-01T00:00:00Z"}
-- row 0/0/1 {"id":2,"window_start":"2026-01-01T00:00:00Z"}
-- row 0/0/2 {"id":3,"window_start":"2026-01-01T00:00:00Z"}
-- row 0/0/3 {"id":4,"window_start":"2026-01-01T00:00:00Z"}
-- row 1/0/1 {"id":6,"window_start":"2026-01-01T00:00:00Z"}
-- row 1/0/3 {"id":8,"window_start":"2026-01-01T00:00:00Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 0 = out 6 + filtered 4 + set aside 1

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1 day') WHERE id = 1
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?, tags List(Utf8)?, window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), window_time Timestamp(µs, "UTC")
-- plan scan readings (id, sensor, value, ts, tags)
-- plan   filter id = 1
-- plan   add the columns of TUMBLE of 1 day of ts
-- row 0/0/0 {"id":1,"sensor":"a","value":5.0,"ts":"2026-01-01T00:00:01Z","tags":["x","y"],"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-02T00:00:00Z","window_time":"2026-01-01T23:59:59.999999Z"}
-- account in 11 + made 0 = out 1 + filtered 10 + set aside 0

-- Rows that fail before a window and behind it, and those that are left out before they could.
SELECT window_start, sum(10 / (id - 2)) AS s FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), s Int64?
-- plan scan readings (id, ts)
-- plan   project id, window_start
-- plan   compute event time, 10 / (id - 2)
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute sum(10 / (id - 2))
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sum(10 / (id - 2)) AS s
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","s":7}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","s":5}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","s":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 0/0/1 division by zero
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 2 + absorbed 7 + late 2

SELECT window_start, sum(10 / (id - 2)) FILTER (WHERE id <> 2) AS s FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), s Int64?
-- plan scan readings (id, ts)
-- plan   project id, window_start
-- plan   compute event time, 10 / (id - 2), id != 2
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute sum(10 / (id - 2)) FILTER (WHERE id != 2)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sum(10 / (id - 2)) FILTER (WHERE id != 2) AS s
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","s":7}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","s":5}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","s":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 3 = out 3 + filtered 0 + set aside 1 + absorbed 8 + late 2

SELECT window_start, 6 / (count(*) - 1) AS s FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), s Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, 6 / (count(*) - 1) AS s
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","s":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","s":6}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z","tags":null}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z","tags":null}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- refused 0/-/0 division by zero
-- account in 11 + made 3 = out 2 + filtered 0 + set aside 2 + absorbed 8 + late 2

-- view v lateness 60000000
SELECT id FROM readings
-- error v: the view has `allowed_lateness`, and no window that rows could be late for
--  fix: leave it out, or give it to the view with the windows

-- A view over windows with rows given anew.
-- view minutes lateness 60000000
SELECT window_start, window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT sensor AS s, window_start AS at, n * 2 AS twice FROM minutes WHERE sensor = 'a'
-- columns s Utf8?, at Timestamp(µs, "UTC"), twice Int64
-- plan scan minutes (window_start, sensor, n)
-- plan   filter sensor = 'a'
-- plan   project sensor AS s, window_start AS at, n * 2 AS twice
-- updates by s, at
-- row 1/-/1 {"s":"a","at":"2026-01-01T00:00:00Z","twice":6}
-- row 2/-/0 {"s":"a","at":"2026-01-01T00:01:00Z","twice":6}
-- row 3/-/0 {"s":"a","at":"2026-01-01T00:03:00Z","twice":2}
-- account in 5 + made 0 = out 3 + filtered 2 + set aside 0

-- view minutes lateness 60000000
SELECT window_start, window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_start, n FROM minutes
-- error v: `sensor` is missing among the columns: with `allowed_lateness` a row is given anew, and takes the place of the one with the same keys
--  fix: add `sensor` to the `SELECT` list

-- view minutes lateness 60000000
SELECT window_start, window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT * FROM minutes WHERE n > 1
-- error v: 1:23 a condition on computed columns is not possible over rows that are given anew, each in place of one before: a row that no longer fulfils it would leave the one before in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- view minutes lateness 60000000
SELECT window_start, window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_start, sum(n) AS n FROM TUMBLE(minutes, window_end, INTERVAL '1 hour') GROUP BY window_start
-- error v: 1:34 a window is not possible over rows that are given anew, each in place of one before: it would count a row and the one in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- view v lateness 60000000
SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- error v: `sensor` is missing among the columns: with `allowed_lateness` a row is given anew, and takes the place of the one with the same keys
--  fix: add `sensor` to the `SELECT` list

-- view v lateness 60000000
SELECT window_start, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, sensor HAVING count(*) > 1
-- error v: 1:121 a condition on computed columns is not possible over rows that are given anew, each in place of one before: a row that no longer fulfils it would leave the one before in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- view v lateness 60000000
SELECT window_start, sensor, count(*) AS n FROM SESSION(readings, ts, INTERVAL '1 minute', sensor) GROUP BY window_start, window_end, sensor
-- error v: 1:100 a late row changes when its session begins or ends, so that the row given anew would not take the place of the one before
--  fix: leave out `allowed_lateness`, or give the source a longer `delay`
