-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","tags":{"list":"string"}} time ts delay 10000000
-- {"id":1,"sensor":"a","value":1,"ts":"2026-01-01T00:00:01Z","tags":["x","y"]}
-- {"id":2,"sensor":"b","value":2,"ts":"2026-01-01T00:01:30Z","tags":["x"]}
-- {"id":3,"sensor":"a","value":3,"ts":"2026-01-01T00:00:59Z","tags":["x","y","z"]}
-- {"id":4,"sensor":"b","value":-4,"ts":"2026-01-01T00:00:58Z","tags":["x"]}
-- next
-- {"id":5,"sensor":"b","value":5,"ts":"2026-01-01T00:00:57Z","tags":[]}
-- {"id":6,"sensor":"c","value":6,"ts":"2026-01-01T00:01:40Z","tags":["y"]}
-- {"id":7,"sensor":"a","value":7,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- input more {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","tags":{"list":"string"}} time ts delay 10000000
-- {"id":11,"sensor":"a","value":1,"ts":"2026-01-01T00:01:31Z","tags":[]}
-- next
-- {"id":12,"sensor":"a","value":1,"ts":"2026-01-01T00:00:02Z","tags":[]}
-- input other {"id":"int64","at":"timestamp"} time at delay 0
-- lookup devices {"name":"string"}
-- {"key":"a","name":"first"}
-- {"key":"b","name":"second"}

-- As they came, with columns that no query reads; only rows that pass its conditions are late.
-- view v late stream
SELECT window_start, d.name, sum(r.value * 2) AS total
FROM TUMBLE(readings, ts, INTERVAL '1 minute') r JOIN devices d ON d.key = r.sensor WHERE r.value > 0 GROUP BY window_start, d.name
-- columns window_start Timestamp(µs, "UTC"), name Utf8?, total Float64?
-- plan scan readings (sensor, value, ts)
-- plan   filter value > 0.0
-- plan   project sensor, value, window_start
-- plan   lookup devices (name) by sensor; rows without an answer are left out
-- plan   project value, window_start, name
-- plan   compute name, event time, value * 2.0
-- plan window 1: TUMBLE of 1 minute of ts, by name
-- plan   compute sum(value * 2.0)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, name, sum(value * 2.0) AS total
-- late rows have id, sensor, value, ts, tags
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","name":"first","total":2.0}
-- row 5/-/0 {"window_start":"2026-01-01T00:01:00Z","name":"second","total":4.0}
-- late 0/0/2 {"id":3,"sensor":"a","value":3.0,"ts":"2026-01-01T00:00:59Z","tags":["x","y","z"]}
-- late 3/0/0 {"id":5,"sensor":"b","value":5.0,"ts":"2026-01-01T00:00:57Z","tags":[]}
-- late 3/0/2 {"id":7,"sensor":"a","value":7.0,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- account in 7 + made 2 = out 2 + filtered 2 + set aside 0 + absorbed 2 + late 3

-- With some time left only what is later than that.
-- view v lateness 25000000 late stream
SELECT window_start, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start
-- plan window 1: TUMBLE of 1 minute of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end and 25 seconds of `allowed_lateness` more, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- late rows have id, sensor, value, ts, tags
-- updates by window_start, sensor
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":"a","n":2}
-- row 0/-/1 {"window_start":"2026-01-01T00:00:00Z","sensor":"b","n":1}
-- row 3/-/0 {"window_start":"2026-01-01T00:00:00Z","sensor":"b","n":2}
-- row 5/-/0 {"window_start":"2026-01-01T00:01:00Z","sensor":"b","n":1}
-- row 5/-/1 {"window_start":"2026-01-01T00:01:00Z","sensor":"c","n":1}
-- late 3/0/2 {"id":7,"sensor":"a","value":7.0,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- account in 7 + made 5 = out 5 + filtered 0 + set aside 0 + absorbed 6 + late 1

-- Several rows of one name: each is found again.
-- view tagged
SELECT id, unnest(tags) AS tag, ts FROM readings
-- view v late stream
SELECT window_start, upper(tag) AS tag, count(*) AS n FROM TUMBLE(tagged, ts, INTERVAL '1 minute') WHERE tag <> 'x' GROUP BY window_start, upper(tag)
-- columns window_start Timestamp(µs, "UTC"), tag Utf8?, n Int64
-- plan scan tagged (tag, ts)
-- plan   filter tag != 'x'
-- plan   project tag, window_start
-- plan   compute upper(tag), event time
-- plan window 1: TUMBLE of 1 minute of ts, by upper(tag)
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, upper(tag) AS tag, count(*) AS n
-- late rows have id, tag, ts
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","tag":"Y","n":1}
-- row 5/-/0 {"window_start":"2026-01-01T00:01:00Z","tag":"Y","n":1}
-- late 0/0/2 {"id":3,"tag":"y","ts":"2026-01-01T00:00:59Z"}
-- late 0/0/2 {"id":3,"tag":"z","ts":"2026-01-01T00:00:59Z"}
-- late 3/0/2 {"id":7,"tag":"y","ts":"2026-01-01T00:00:56Z"}
-- account in 10 + made 2 = out 2 + filtered 5 + set aside 0 + absorbed 2 + late 3

-- And where they are set aside too.
-- view tagged
SELECT id, unnest(tags) AS tag, ts FROM readings
-- view v
SELECT window_start, upper(tag) AS tag, count(*) AS n FROM TUMBLE(tagged, ts, INTERVAL '1 minute') WHERE tag <> 'x' GROUP BY window_start, upper(tag)
-- columns window_start Timestamp(µs, "UTC"), tag Utf8?, n Int64
-- plan scan tagged (tag, ts)
-- plan   filter tag != 'x'
-- plan   project tag, window_start
-- plan   compute upper(tag), event time
-- plan window 1: TUMBLE of 1 minute of ts, by upper(tag)
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, upper(tag) AS tag, count(*) AS n
-- row 0/-/0 {"window_start":"2026-01-01T00:00:00Z","tag":"Y","n":1}
-- row 5/-/0 {"window_start":"2026-01-01T00:01:00Z","tag":"Y","n":1}
-- late 0/0/2 {"id":3,"tag":"y","ts":"2026-01-01T00:00:59Z"}
-- late 0/0/2 {"id":3,"tag":"z","ts":"2026-01-01T00:00:59Z"}
-- late 3/0/2 {"id":7,"tag":"y","ts":"2026-01-01T00:00:56Z"}
-- account in 10 + made 2 = out 2 + filtered 5 + set aside 0 + absorbed 2 + late 3

-- A window over windows in one view: rows are late for the inner one.
-- view v late stream
WITH tens AS (SELECT window_time, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_time, sensor) SELECT window_end, max(n) AS most FROM TUMBLE(tens, window_time, INTERVAL '1 minute') GROUP BY window_end
-- columns window_end Timestamp(µs, "UTC"), most Int64?
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_time
-- plan window 1: TUMBLE of 10 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_time, count(*) AS n
-- plan   project n, window_end
-- plan window 2: TUMBLE of 1 minute of window_time
-- plan   compute max(n)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_end, max(n) AS most
-- late rows have id, sensor, value, ts, tags
-- row 0/-/0 {"window_end":"2026-01-01T00:01:00Z","most":1}
-- row 5/-/0 {"window_end":"2026-01-01T00:02:00Z","most":1}
-- late 0/0/2 {"id":3,"sensor":"a","value":3.0,"ts":"2026-01-01T00:00:59Z","tags":["x","y","z"]}
-- late 0/0/3 {"id":4,"sensor":"b","value":-4.0,"ts":"2026-01-01T00:00:58Z","tags":["x"]}
-- late 3/0/0 {"id":5,"sensor":"b","value":5.0,"ts":"2026-01-01T00:00:57Z","tags":[]}
-- late 3/0/2 {"id":7,"sensor":"a","value":7.0,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- account in 7 + made 5 = out 2 + filtered 0 + set aside 0 + absorbed 6 + late 4

-- A view over windows with rows given anew, which come late for its own windows.
-- view tens lateness 60000000
SELECT window_time, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_time, sensor
-- view v late stream
SELECT window_end, max(n) AS most FROM TUMBLE(tens, window_time, INTERVAL '1 minute') GROUP BY window_end
-- error v: 1:35 a window is not possible over rows that are given anew, each in place of one before: it would count a row and the one in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- Two sources of the same columns.
-- view v late stream
WITH both AS (SELECT id, ts FROM readings UNION ALL SELECT id, ts FROM more) SELECT window_start, array_agg(id ORDER BY id) AS ids FROM TUMBLE(both, ts, INTERVAL '1 minute') GROUP BY window_start
-- columns window_start Timestamp(µs, "UTC"), ids List(Int64)?
-- plan scan readings (id, ts)
-- plan   project id, window_start
-- plan scan more (id, ts)
-- plan   project id, window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute array_agg(id ORDER BY id)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan   keep every value for array_agg(id ORDER BY id)
-- plan rows of window 1
-- plan   project window_start, array_agg(id ORDER BY id) AS ids
-- late rows have id, sensor, value, ts, tags
-- row 1/-/0 {"window_start":"2026-01-01T00:00:00Z","ids":[1,3,4]}
-- row 6/-/0 {"window_start":"2026-01-01T00:01:00Z","ids":[2,6,11]}
-- late 3/0/0 {"id":5,"sensor":"b","value":5.0,"ts":"2026-01-01T00:00:57Z","tags":[]}
-- late 3/0/2 {"id":7,"sensor":"a","value":7.0,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- late 4/0/0 {"id":12,"sensor":"a","value":1.0,"ts":"2026-01-01T00:00:02Z","tags":[]}
-- account in 9 + made 2 = out 2 + filtered 0 + set aside 0 + absorbed 6 + late 3

-- Keyed sessions.
-- view v late stream
SELECT window_start, sensor, count(*) AS n FROM SESSION(readings, ts, INTERVAL '5 seconds', sensor) GROUP BY window_start, window_end, sensor
-- columns window_start Timestamp(µs, "UTC"), sensor Utf8?, n Int64
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: SESSION with gaps of 5 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each session and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, sensor, count(*) AS n
-- late rows have id, sensor, value, ts, tags
-- row 0/-/0 {"window_start":"2026-01-01T00:00:01Z","sensor":"a","n":1}
-- row 5/-/0 {"window_start":"2026-01-01T00:01:30Z","sensor":"b","n":1}
-- row 5/-/1 {"window_start":"2026-01-01T00:01:40Z","sensor":"c","n":1}
-- late 0/0/2 {"id":3,"sensor":"a","value":3.0,"ts":"2026-01-01T00:00:59Z","tags":["x","y","z"]}
-- late 0/0/3 {"id":4,"sensor":"b","value":-4.0,"ts":"2026-01-01T00:00:58Z","tags":["x"]}
-- late 3/0/0 {"id":5,"sensor":"b","value":5.0,"ts":"2026-01-01T00:00:57Z","tags":[]}
-- late 3/0/2 {"id":7,"sensor":"a","value":7.0,"ts":"2026-01-01T00:00:56Z","tags":["x","y"]}
-- account in 7 + made 3 = out 3 + filtered 0 + set aside 0 + absorbed 3 + late 4

-- What cannot be given as it came.
-- view v late stream
WITH tagged AS (SELECT id, ts, unnest(tags) AS tag FROM readings) SELECT window_start, tag, count(*) AS n FROM TUMBLE(tagged, ts, INTERVAL '1 minute') GROUP BY window_start, tag
-- error v: 1:32 rows that come late are given as they came, and `UNNEST` before the window makes several of one, of which some may be late and others not
--  fix: let a view of its own do `UNNEST`, and this one read that

-- view v late stream
SELECT window_start, t.tag, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') AS r CROSS JOIN UNNEST(r.tags) AS t(tag) GROUP BY window_start, t.tag
-- error v: 1:106 rows that come late are given as they came, and `UNNEST` before the window makes several of one, of which some may be late and others not
--  fix: let a view of its own do `UNNEST`, and this one read that

-- view v late stream
WITH both AS (SELECT id, ts FROM readings UNION ALL SELECT id, at FROM other) SELECT window_start, count(*) AS n FROM TUMBLE(both, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: rows that come late are given as they came, and those of `readings` and `other` have different columns
--  fix: make views of them that have the same columns in the same order, and read those

-- view v late stream
WITH wide AS (SELECT id, window_time FROM HOP(readings, ts, INTERVAL '10 seconds', INTERVAL '1 minute')) SELECT window_start, count(*) AS n FROM TUMBLE(wide, window_time, INTERVAL '1 minute') GROUP BY window_start
-- error v: rows that come late are given as they came, and a window without `GROUP BY` before the window makes several of one, of which some may be late and others not
--  fix: let a view of its own do a window without `GROUP BY`, and this one read that

-- view v late stream
SELECT id FROM readings
-- error v: the view says `late: stream`, and has no window that rows could be late for
--  fix: leave it out, or give it to the view with the windows

-- view v late stream
SELECT window_start, id FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: the view says `late: stream`, and has no window that rows could be late for
--  fix: leave it out, or give it to the view with the windows

-- What comes late is for sinks.
-- view w late stream
SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- view v
SELECT * FROM w.late
-- error v: 1:15 there is no source or view `w.late`
--  fix: known: `readings`, `more`, `other`, `devices`, `w`, `v`
