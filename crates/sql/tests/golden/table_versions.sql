-- table side {"key":"int64","value":"string"}
-- {"key":1,"value":"one"}
-- {"key":2,"value":"two"}
-- next
-- {"key":2,"value":"deux"}
-- {"key":2,"value":"zwei"}
-- next
-- next
-- {"key":1,"value":"uno"}
-- input readings {"id":"int64","ts":"timestamp"} time ts delay 0
-- {"id":1,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"ts":"2026-01-01T00:00:01Z"}
-- next
-- {"id":1,"ts":"2026-01-01T00:00:02Z"}
-- {"id":2,"ts":"2026-01-01T00:00:03Z"}
-- next
-- {"id":1,"ts":"2026-01-01T00:00:04Z"}
-- {"id":2,"ts":"2026-01-01T00:00:15Z"}
-- next
-- {"id":1,"ts":"2026-01-01T00:00:16Z"}
-- {"id":2,"ts":"2026-01-01T00:00:25Z"}

SELECT r.id, s.value FROM readings r LEFT JOIN side s ON s.key = r.id
-- columns id Int64?, value Utf8?
-- plan scan readings (id)
-- plan   join table side (value) by id = key
-- plan   project id, value
-- row 1/0/0 {"id":1,"value":"one"}
-- row 1/0/1 {"id":2,"value":"two"}
-- row 3/0/0 {"id":1,"value":null}
-- row 3/0/1 {"id":2,"value":"deux"}
-- row 3/0/1 {"id":2,"value":"zwei"}
-- row 5/0/0 {"id":1,"value":null}
-- row 5/0/1 {"id":2,"value":null}
-- row 7/0/0 {"id":1,"value":"uno"}
-- row 7/0/1 {"id":2,"value":null}
-- account in 8 + made 1 = out 9 + filtered 0 + set aside 0

SELECT id FROM readings WHERE id NOT IN (SELECT key FROM side)
-- columns id Int64?
-- plan scan readings (id)
-- plan   keep rows surely without a match in table side by id = key; of the table: project key
-- row 3/0/0 {"id":1}
-- row 5/0/0 {"id":1}
-- row 5/0/1 {"id":2}
-- row 7/0/1 {"id":2}
-- account in 8 + made 0 = out 4 + filtered 4 + set aside 0

-- What windows made is joined to the version that holds when they close.
SELECT c.window_end, c.id, c.n, s.value FROM (SELECT window_end, id, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, id) c LEFT JOIN side s ON s.key = c.id
-- columns window_end Timestamp(µs, "UTC"), id Int64?, n Int64, value Utf8?
-- plan scan readings (id, ts)
-- plan   project id, window_start, window_end
-- plan window 1: TUMBLE of 10 seconds of ts, by id
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, id, count(*) AS n
-- plan   join table side (value) by id = key
-- plan   project window_end, id, n, value
-- row 5/-/0 {"window_end":"2026-01-01T00:00:10Z","id":1,"n":3,"value":null}
-- row 5/-/1 {"window_end":"2026-01-01T00:00:10Z","id":2,"n":2,"value":null}
-- row 7/-/0 {"window_end":"2026-01-01T00:00:20Z","id":1,"n":1,"value":"uno"}
-- row 7/-/1 {"window_end":"2026-01-01T00:00:20Z","id":2,"n":1,"value":null}
-- row 8/-/0 {"window_end":"2026-01-01T00:00:30Z","id":2,"n":1,"value":null}
-- account in 8 + made 5 = out 5 + filtered 0 + set aside 0 + absorbed 8 + late 0

-- What windows count is what was joined when it came.
SELECT window_end, value, count(*) AS n FROM TUMBLE((SELECT r.ts, s.value FROM readings r JOIN side s ON s.key = r.id), ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, value
-- error v: 1:54 the first argument of `TUMBLE` is the name of a source or view
--  fix: give the query a name: `WITH wanted AS (SELECT r.ts, s.value FROM readings r JOIN side s ON s.key = r.id) SELECT … FROM TUMBLE(wanted, ts, INTERVAL '1 minute')`

-- view joined
SELECT r.ts, s.value FROM readings r JOIN side s ON s.key = r.id
-- view v
SELECT window_end, value, count(*) AS n FROM TUMBLE(joined, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, value
-- columns window_end Timestamp(µs, "UTC"), value Utf8?, n Int64
-- plan scan joined (ts, value)
-- plan   project value, window_start, window_end
-- plan window 1: TUMBLE of 10 seconds of ts, by value
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, value, count(*) AS n
-- row 5/-/0 {"window_end":"2026-01-01T00:00:10Z","value":"deux","n":1}
-- row 5/-/1 {"window_end":"2026-01-01T00:00:10Z","value":"one","n":1}
-- row 5/-/2 {"window_end":"2026-01-01T00:00:10Z","value":"two","n":1}
-- row 5/-/3 {"window_end":"2026-01-01T00:00:10Z","value":"zwei","n":1}
-- row 7/-/0 {"window_end":"2026-01-01T00:00:20Z","value":"uno","n":1}
-- account in 5 + made 5 = out 5 + filtered 0 + set aside 0 + absorbed 5 + late 0
