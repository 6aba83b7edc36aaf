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
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?, n Int64
-- plan scan readings (id, sensor, value, ts)
-- plan rank 1: the first 2 rows by value DESC NULLS LAST, id, of each sensor
-- plan   give the places that changed, at the end of each frame
-- plan   keep them for each for ever, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, sensor, value, ts, CAST(row_number() AS int64) AS n
-- updates by sensor, n
-- row 0/-/0 {"id":3,"sensor":"a","value":11.0,"ts":"2026-01-01T00:00:58Z","n":1}
-- row 0/-/1 {"id":1,"sensor":"a","value":5.0,"ts":"2026-01-01T00:00:01Z","n":2}
-- row 0/-/2 {"id":2,"sensor":"b","value":50.0,"ts":"2026-01-01T00:00:02Z","n":1}
-- row 0/-/3 {"id":4,"sensor":null,"value":1.0,"ts":"2026-01-01T00:00:30Z","n":1}
-- row 1/-/0 {"id":6,"sensor":"b","value":7.0,"ts":"2026-01-01T00:00:59.999999Z","n":2}
-- row 1/-/1 {"id":7,"sensor":"a","value":11.0,"ts":"2026-01-01T00:01:05Z","n":2}
-- row 2/-/0 {"id":9,"sensor":"c","value":2.0,"ts":null,"n":1}
-- row 2/-/1 {"id":10,"sensor":"b","value":60.0,"ts":"2026-01-01T00:03:00Z","n":1}
-- row 2/-/2 {"id":2,"sensor":"b","value":50.0,"ts":"2026-01-01T00:00:02Z","n":2}
-- account in 11 + made 9 = out 9 + filtered 0 + set aside 0 + absorbed 11 + late 0

-- The last of each.
SELECT sensor, id, value FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY ts DESC) AS n FROM readings) WHERE n = 1
-- columns sensor Utf8?, id Int64?, value Float64?
-- plan scan readings (id, sensor, value, ts)
-- plan rank 1: the first row by ts DESC, of each sensor
-- plan   give the places that changed, at the end of each frame
-- plan   keep them for each for ever, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, sensor, value, row_number()
-- plan   project sensor, id, value
-- updates by sensor
-- row 0/-/0 {"sensor":"a","id":3,"value":11.0}
-- row 0/-/1 {"sensor":"b","id":2,"value":50.0}
-- row 0/-/2 {"sensor":null,"id":4,"value":1.0}
-- row 1/-/0 {"sensor":"a","id":7,"value":11.0}
-- row 1/-/1 {"sensor":"b","id":6,"value":7.0}
-- row 2/-/0 {"sensor":"c","id":9,"value":2.0}
-- row 2/-/1 {"sensor":"b","id":10,"value":60.0}
-- row 2/-/2 {"sensor":"a","id":11,"value":8.0}
-- account in 11 + made 8 = out 8 + filtered 0 + set aside 0 + absorbed 11 + late 0

-- All rows are one partition.
SELECT id, value, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY value DESC NULLS LAST) AS n FROM readings) AS r WHERE 3 > n
-- columns id Int64?, value Float64?, n Int64
-- plan scan readings (id, value)
-- plan rank 1: the first 2 rows by value DESC NULLS LAST
-- plan   give the places that changed, at the end of each frame
-- plan   keep them for ever, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, value, row_number() AS n
-- plan   project id, value, CAST(n AS int64) AS n
-- updates by n
-- row 0/-/0 {"id":2,"value":50.0,"n":1}
-- row 0/-/1 {"id":3,"value":11.0,"n":2}
-- row 2/-/0 {"id":10,"value":60.0,"n":1}
-- row 2/-/1 {"id":2,"value":50.0,"n":2}
-- account in 11 + made 4 = out 4 + filtered 0 + set aside 0 + absorbed 11 + late 0

-- Places in between.
SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY value) AS n FROM readings) AS r WHERE n BETWEEN 2 AND 3
-- columns id Int64?, n Int64
-- plan scan readings (id, value)
-- plan rank 1: the first 3 rows by value
-- plan   give the places that changed, at the end of each frame
-- plan   keep them for ever, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, row_number()
-- plan   filter row_number() >= 2
-- plan   project id, row_number() AS n
-- plan   project id, CAST(n AS int64) AS n
-- updates by n
-- row 0/-/0 {"id":1,"n":2}
-- row 0/-/1 {"id":3,"n":3}
-- row 1/-/0 {"id":8,"n":2}
-- row 1/-/1 {"id":1,"n":3}
-- row 2/-/0 {"id":9,"n":2}
-- row 2/-/1 {"id":8,"n":3}
-- account in 11 + made 7 = out 6 + filtered 1 + set aside 0 + absorbed 11 + late 0

SELECT id, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC NULLS LAST) AS n, sensor FROM readings QUALIFY n <= 1
-- columns id Int64?, n Int64, sensor Utf8?
-- plan scan readings (id, sensor, value)
-- plan rank 1: the first row by value DESC NULLS LAST, of each sensor
-- plan   give the places that changed, at the end of each frame
-- plan   keep them for each for ever, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, sensor, row_number()
-- plan   project id, CAST(row_number() AS int64) AS n, sensor
-- updates by sensor
-- row 0/-/0 {"id":3,"n":1,"sensor":"a"}
-- row 0/-/1 {"id":2,"n":1,"sensor":"b"}
-- row 0/-/2 {"id":4,"n":1,"sensor":null}
-- row 2/-/0 {"id":9,"n":1,"sensor":"c"}
-- row 2/-/1 {"id":10,"n":1,"sensor":"b"}
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 0 + absorbed 11 + late 0

-- Of each window the best, once it is complete.
SELECT * FROM (SELECT window_start, window_end, sensor, value, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY value DESC NULLS LAST) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute')) WHERE n <= 2
-- columns window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), sensor Utf8?, value Float64?, n Int64
-- plan scan readings (sensor, value, ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project sensor, value, window_start, window_end
-- plan rank 1: the first 2 rows by value DESC NULLS LAST, of each window_start, window_end
-- plan   keep them for each until event time has passed window_end, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project window_start, window_end, sensor, value, CAST(row_number() AS int64) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","sensor":"b","value":50.0,"n":1}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","window_end":"2026-01-01T00:01:00Z","sensor":"a","value":11.0,"n":2}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","sensor":"a","value":11.0,"n":1}
-- row 2/-/1 {"window_start":"2026-01-01T00:01:00Z","window_end":"2026-01-01T00:02:00Z","sensor":"a","value":null,"n":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","window_end":"2026-01-01T00:04:00Z","sensor":"b","value":60.0,"n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z"}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 5 = out 5 + filtered 0 + set aside 1 + absorbed 8 + late 2

-- Of groups of each window.
SELECT window_end, sensor, events, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY events DESC, sensor) AS n FROM (SELECT window_end, sensor, count(*) AS events FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_end, sensor) AS g) AS r WHERE n < 3
-- columns window_end Timestamp(µs, "UTC"), sensor Utf8?, events Int64, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_end
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, sensor, count(*) AS events
-- plan rank 2: the first 2 rows by events DESC, sensor, of each window_end
-- plan   keep them for each until event time has passed window_end, 1 GiB at most (`state_bytes`)
-- plan rows of rank 2
-- plan   project window_end, sensor, events, row_number() AS n
-- plan   project window_end, sensor, events, CAST(n AS int64) AS n
-- row 1/-/0 {"window_end":"2026-01-01T00:01:00Z","sensor":"a","events":2,"n":1}
-- row 1/-/1 {"window_end":"2026-01-01T00:01:00Z","sensor":"b","events":2,"n":2}
-- row 2/-/0 {"window_end":"2026-01-01T00:02:00Z","sensor":"a","events":2,"n":1}
-- row 3/-/0 {"window_end":"2026-01-01T00:04:00Z","sensor":"b","events":1,"n":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z"}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 9 = out 4 + filtered 0 + set aside 1 + absorbed 13 + late 2

-- view g
SELECT window_start, window_end, sensor, count(*) AS events FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, sensor
-- view v
SELECT window_start, sensor, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY events DESC, sensor DESC) AS n FROM g) AS r WHERE n <= 1
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan g (window_start, sensor, events)
-- plan rank 1: the first row by events DESC, sensor DESC, of each window_start
-- plan   keep them for each until event time has passed window_start, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project window_start, sensor, row_number()
-- plan   project window_start, sensor, row_number() AS n
-- plan   project window_start, sensor, CAST(n AS int64) AS n
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":"b","n":1}
-- row 2/-/0 {"window_start":"2026-01-01T00:01:00Z","sensor":"a","n":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:03:00Z","sensor":"b","n":1}
-- account in 5 + made 3 = out 3 + filtered 0 + set aside 0 + absorbed 5 + late 0

-- By event time itself.
SELECT ts, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY ts ORDER BY id) AS n FROM readings) AS r WHERE n = 1
-- columns ts Timestamp(µs, "UTC")?, id Int64?
-- plan scan readings (id, ts)
-- plan rank 1: the first row by id, of each ts
-- plan   keep them for each until event time has passed ts, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project id, ts
-- plan   project ts, id
-- row 0/-/0 {"ts":"2026-01-01T00:00:01Z","id":1}
-- row 0/-/1 {"ts":"2026-01-01T00:00:02Z","id":2}
-- row 1/-/0 {"ts":"2026-01-01T00:00:58Z","id":3}
-- row 1/-/1 {"ts":"2026-01-01T00:00:59.999999Z","id":6}
-- row 2/-/0 {"ts":"2026-01-01T00:01:00Z","id":5}
-- row 2/-/1 {"ts":"2026-01-01T00:01:05Z","id":7}
-- row 3/-/0 {"ts":"2026-01-01T00:03:00Z","id":10}
-- late 0/0/3 {"id":4,"sensor":null,"value":1.0,"ts":"2026-01-01T00:00:30Z"}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z"}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no partition that is ever complete
-- account in 11 + made 7 = out 7 + filtered 0 + set aside 1 + absorbed 7 + late 3

-- What is best of a window is grouped again.
SELECT window_end, sum(value) AS total FROM (SELECT window_end, value, ROW_NUMBER() OVER (PARTITION BY window_end, sensor ORDER BY value DESC NULLS LAST) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute')) AS r WHERE n = 1 GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), total Float64?
-- plan scan readings (sensor, value, ts)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- plan   project sensor, value, window_end
-- plan rank 1: the first row by value DESC NULLS LAST, of each window_end, sensor
-- plan   keep them for each until event time has passed window_end, 1 GiB at most (`state_bytes`)
-- plan rows of rank 1
-- plan   project value, window_end, row_number()
-- plan   project window_end, value
-- plan   compute event time, value
-- plan window 2: the windows that rows came out of
-- plan   compute sum(value)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_end, sum(value) AS total
-- row 1/-/0 {"window_end":"2026-01-01T00:01:00Z","total":62.0}
-- row 2/-/0 {"window_end":"2026-01-01T00:02:00Z","total":11.0}
-- row 3/-/0 {"window_end":"2026-01-01T00:04:00Z","total":60.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"ts":"2026-01-01T00:00:59Z"}
-- late 2/0/2 {"id":11,"sensor":"a","value":8.0,"ts":"2026-01-01T00:01:30Z"}
-- refused 2/0/0 its event time is null, so that it belongs to no window
-- account in 11 + made 8 = out 3 + filtered 0 + set aside 1 + absorbed 13 + late 2

-- view tops
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC NULLS LAST, id) AS n FROM readings) WHERE n <= 2
-- view v
SELECT sensor, n, value * 2 AS twice FROM tops WHERE n = 1
-- columns sensor Utf8?, n Int64, twice Float64?
-- plan scan tops (sensor, value, n)
-- plan   filter n = 1
-- plan   project sensor, n, value * 2.0 AS twice
-- updates by sensor, n
-- row 0/-/0 {"sensor":"a","n":1,"twice":22.0}
-- row 0/-/2 {"sensor":"b","n":1,"twice":100.0}
-- row 0/-/3 {"sensor":null,"n":1,"twice":2.0}
-- row 2/-/0 {"sensor":"c","n":1,"twice":4.0}
-- row 2/-/1 {"sensor":"b","n":1,"twice":120.0}
-- account in 9 + made 0 = out 5 + filtered 4 + set aside 0

-- What cannot be.
SELECT id, sensor FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2
-- error v: the number of the place is missing among the columns: of a place a row is given anew, and takes the place of the one with the same keys
--  fix: add the number of the place to the `SELECT` list

SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2
-- error v: `sensor` is missing among the columns: of a place a row is given anew, and takes the place of the one with the same keys
--  fix: add `sensor` to the `SELECT` list

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY upper(sensor) ORDER BY value DESC) AS n FROM readings) WHERE n <= 2
-- error v: 1:39 `upper(sensor)` names a place beside its number, and is no column
--  fix: compute it in an inner `SELECT`, `upper(sensor) AS key`, and write `PARTITION BY key`

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 2 AND value > 5
-- error v: 1:106 a condition on computed columns is not possible over rows that are given anew, each in place of one before: a row that no longer fulfils it would leave the one before in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) WHERE n <= 200000
-- error v: 1:39 200000 places of each partition are asked for
--  fix: ask for 100000 at most

SELECT sensor, count(*) AS c FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY value DESC) AS n FROM readings) AS r WHERE n <= 2 GROUP BY sensor
-- error v: 1:144 `GROUP BY` is not possible over rows that are given anew, each in place of one before: it would count a row and the one in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- view v
SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY n ORDER BY sensor) AS n2 FROM (SELECT sensor, count(*) AS n FROM readings GROUP BY sensor) AS g) AS r WHERE n2 = 1
-- error v: 1:8 there is no column `id`
--  fix: known: `sensor`, `n`, `n2`
-- error v: 1:43 `ROW_NUMBER` is not possible over rows that are given anew, each in place of one before: who was in its place before would have to be found
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`
