-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp","at":"timestamp","tags":{"list":"string"}} time ts delay 0
-- input plain {"id":"int64","ts":"timestamp"}
-- lookup devices {"name":"string"}
-- lookup alive {"name":"string"} live

-- What is no event time, and where one would be.
SELECT count(*) FROM TUMBLE(readings, at, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:39 `at` is not the event time of `readings`
--  fix: use `ts`

SELECT count(*) FROM TUMBLE(plain, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:36 `ts` is not the event time of `plain`
--  fix: declare `event_time: { column: ts }` at the source `plain`

SELECT count(*) FROM TUMBLE(readings, id, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:39 `id` is not the event time of `readings`
--  fix: use `ts`

SELECT count(*) FROM TUMBLE(readings, tts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:39 there is no column `tts`
--  fix: known: `id`, `sensor`, `value`, `ts`, `at`, `tags`

-- A column is found in whatever case.
SELECT count(*) FROM TUMBLE(readings, TS, INTERVAL '1 minute') GROUP BY window_start
-- columns count Int64
-- plan scan readings (ts)
-- plan   project window_start
-- plan window 1: TUMBLE of 1 minute of ts
-- plan   compute count(*)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project count(*) AS count
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

-- view moved
SELECT ts + INTERVAL '1 hour' AS later, ts AS at, id FROM readings
-- view v
SELECT count(*) FROM TUMBLE(moved, later, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:36 `later` is not the event time of `moved`
--  fix: use `at`

-- view moved
SELECT ts + INTERVAL '1 hour' AS later, id FROM readings
-- view v
SELECT count(*) FROM TUMBLE(moved, later, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:36 `later` is not the event time of `moved`
--  fix: have `moved` give the event time of its source as it is, as a column of its own

-- view renamed
SELECT p.ts AS when FROM plain p WHERE id > 1
-- view v
SELECT count(*) FROM TUMBLE(renamed, when, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:38 `when` is not the event time of `renamed`
--  fix: have `renamed` give the event time of its source as it is, as a column of its own

WITH p AS (SELECT ts AS when FROM plain) SELECT count(*) FROM TUMBLE(p, when, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:73 `when` is not the event time of `p`
--  fix: declare `event_time: { column: ts }` at the source `plain`

-- Arguments.
SELECT * FROM TUMBLE()
-- error v: 1:15 `TUMBLE` needs arguments
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM TUMBLE(readings)
-- error v: 1:15 the column with the event time is missing in `TUMBLE`
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM TUMBLE(readings, ts)
-- error v: 1:15 the size is missing in `TUMBLE`
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM HOP(readings, ts, INTERVAL '1 minute')
-- error v: 1:15 the size is missing in `HOP`
--  fix: write `HOP(readings, ts, INTERVAL '10 seconds', INTERVAL '1 minute')`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1 minute', INTERVAL '1 second', 5)
-- error v: 1:78 `TUMBLE` has no argument after the size, offset
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM TUMBLE(reading, ts, INTERVAL '1 minute')
-- error v: 1:22 there is no source or view `reading`
--  fix: did you mean `readings`? known: `readings`, `plain`, `devices`, `alive`, `v`

SELECT * FROM TUMBLE('readings', ts, INTERVAL '1 minute')
-- error v: 1:22 the first argument of `TUMBLE` is the name of a source or view
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM TUMBLE(readings, ts + INTERVAL '1 minute', INTERVAL '1 minute')
-- error v: 1:32 `ts + INTERVAL '1 minute'` is no column: `TUMBLE` goes by the event time itself
--  fix: name the column that the source declares as its `event_time`

SELECT * FROM TUMBLE(readings, ts, 60)
-- error v: 1:36 the size `60` is no interval
--  fix: write it as `INTERVAL '1 minute'`

SELECT * FROM TUMBLE(readings, ts, '1 minute')
-- error v: 1:36 the size `'1 minute'` is no interval
--  fix: write it as `INTERVAL '1 minute'`

SELECT * FROM TUMBLE(readings, ts, NULL)
-- error v: 1:36 `NULL` is no span of time in `TUMBLE`
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1 month')
-- error v: 1:45 the size `INTERVAL '1 month'` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1' YEAR)
-- error v: 1:45 the size `INTERVAL '1' YEAR` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '0 seconds')
-- error v: 1:45 the size `INTERVAL '0 seconds'` is not more than 0
--  fix: write it as `INTERVAL '1 minute'`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '-1 minute')
-- error v: 1:45 the size `INTERVAL '-1 minute'` is not more than 0
--  fix: write it as `INTERVAL '1 minute'`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '100 nanoseconds')
-- error v: 1:45 the size `INTERVAL '100 nanoseconds'` is finer than a microsecond
--  fix: event time counts whole microseconds

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1 minuet')
-- error v: 1:45 `INTERVAL '1 minuet'` cannot be computed: invalid input syntax for type interval: "1 minuet"

SELECT * FROM CUMULATE(readings, ts, INTERVAL '40 seconds', INTERVAL '1 minute')
-- error v: 1:70 the size of `CUMULATE`, 1 minute, is no multiple of its step, 40 seconds
--  fix: write the step first, and a size of several steps

SELECT * FROM TUMBLE(devices, ts, INTERVAL '1 minute')
-- error v: 1:22 `devices` is a lookup: it has no rows of its own, only answers to keys
--  fix: read a source in `TUMBLE`, and join the lookup to it

SELECT * FROM TUMBLE(readings, ts, size => INTERVAL '1 minute')
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?, at Timestamp(µs, "UTC")?, tags List(Utf8)?, window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), window_time Timestamp(µs, "UTC")
-- plan scan readings (id, sensor, value, ts, at, tags)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT * FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), SIZ => INTERVAL '1' MINUTE))
-- error v: 1:60 `TUMBLE` has no argument `SIZ`
--  fix: did you mean `SIZE`? known: `DATA`, `TIMECOL`, `SIZE`, `OFFSET`

SELECT * FROM TABLE(TUMBLE(TABLE readings, ts, INTERVAL '1' MINUTE))
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?, at Timestamp(µs, "UTC")?, tags List(Utf8)?, window_start Timestamp(µs, "UTC"), window_end Timestamp(µs, "UTC"), window_time Timestamp(µs, "UTC")
-- plan scan readings (id, sensor, value, ts, at, tags)
-- plan   add the columns of TUMBLE of 1 minute of ts
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT * FROM TABLE(TUMBLE(TABLE readings PARTITION BY sensor, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
-- error v: 1:43 only `SESSION` is kept apart for keys; rows of `TUMBLE` are by `GROUP BY`
--  fix: write `TUMBLE(readings, ts, INTERVAL '1 minute')`

SELECT id,
  nope
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts),
  INTERVAL '1' MONTH))
-- error v: 2:3 there is no column `nope`
--  fix: known: `id`, `sensor`, `value`, `ts`, `at`, `tags`, `window_start`, `window_end`, `window_time`
-- error v: 4:12 the size `INTERVAL '1' MONTH` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

-- Groups that would never be complete.
SELECT sensor, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY sensor
-- error v: 1:72 rows are grouped without their window, so that a row would count in a group once for each window it is in
--  fix: write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever

SELECT count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: 1:8 `count` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or group by their windows: `GROUP BY window_start, window_end`

SELECT sensor, count(*) FROM readings GROUP BY sensor
-- columns sensor Utf8?, count Int64
-- plan scan readings (sensor)
-- plan group 1: by sensor
-- plan   compute count(*)
-- plan   give the rows of keys that changed, at the end of each frame
-- plan   keep a state for each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- plan rows of group 1
-- plan   project sensor, count(*) AS count
-- updates by sensor
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT max(value) FROM readings
-- error v: 1:8 `max` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, …`; of several columns in one row take `greatest(a, b)`

WITH r AS (SELECT * FROM readings WHERE id > 1) SELECT sensor, count(*) FROM r GROUP BY sensor
-- columns sensor Utf8?, count Int64
-- plan scan readings (id, sensor)
-- plan   filter id > 1
-- plan   project sensor
-- plan group 1: by sensor
-- plan   compute count(*)
-- plan   give the rows of keys that changed, at the end of each frame
-- plan   keep a state for each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- plan rows of group 1
-- plan   project sensor, count(*) AS count
-- updates by sensor
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT DISTINCT sensor FROM readings
-- columns sensor Utf8?
-- plan scan readings (sensor)
-- plan distinct 1: each sensor once, when it is first seen
-- plan   keep each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT DISTINCT sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: 1:8 rows are grouped without their window, so that a row would count in a group once for each window it is in
--  fix: write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever

SELECT DISTINCT ON (sensor) sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: 1:8 `DISTINCT ON` is not yet possible: it is not built
--  fix: number the rows of each key, and take the first: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY …) AS n FROM …) WHERE n = 1`

SELECT window_start, sensor, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY ROLLUP (window_start, sensor)
-- error v: 1:86 `ROLLUP`, `CUBE` or `GROUPING SETS` is not yet possible: it is not built
--  fix: write a `SELECT` for each set of keys, and `UNION ALL` between them

SELECT window_start, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY ALL
-- error v: 1:78 `GROUP BY ALL` is not yet possible: it is not built
--  fix: name what rows are grouped by: `GROUP BY sensor`, or `GROUP BY window_start, window_end, …`

SELECT sensor FROM TUMBLE(readings, ts, INTERVAL '1 minute') HAVING count(*) > 1
-- error v: 1:62 `HAVING` without `GROUP BY` is not possible: it is one row for all time, which comes and goes, and a row that has gone out cannot be taken back
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or group by their windows: `GROUP BY window_start, window_end`

SELECT date_trunc('hour', window_start) AS hour, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY date_trunc('hour', window_start)
-- error v: 1:106 rows are grouped without their window, so that a row would count in a group once for each window it is in
--  fix: write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever

SELECT window_start, sensor, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:22 `sensor` is neither in `GROUP BY` nor in an aggregate
--  fix: add it to `GROUP BY`, or write `first_value(sensor)`

-- view cut
SELECT id, window_start FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- view v
WITH c AS (SELECT * FROM cut) SELECT window_start, count(*) AS n FROM c GROUP BY window_start
-- error v: 1:73 windows that rows came out of are told by their end
--  fix: add `window_end` to `GROUP BY`, and to the columns below

-- Sessions.
SELECT window_start, id FROM SESSION(readings, ts, INTERVAL '1 minute')
-- error v: 1:25 `SESSION` without `GROUP BY` is not yet possible: a row's session is known only when it is over
--  fix: write `GROUP BY window_start, window_end, …`

SELECT window_start, count(*) FROM SESSION(readings, ts, INTERVAL '1 minute', sensor) GROUP BY window_start
-- error v: 1:87 sessions are kept for each `sensor`, which is missing in `GROUP BY`
--  fix: write `GROUP BY window_start, window_end, sensor`

SELECT window_start, sensor, count(*) FROM SESSION(readings, ts, INTERVAL '1 minute') GROUP BY window_start, sensor
-- error v: 1:87 sessions are not kept for each `sensor`, so rows cannot be grouped by it
--  fix: write `GROUP BY window_start, window_end`, or add `sensor` to the arguments of `SESSION`

SELECT window_start, sensor, count(*) FROM SESSION(readings, ts, INTERVAL '1 minute', sensor) WHERE value > 1 GROUP BY window_start, sensor
-- error v: 1:95 the condition `value > 1.0` comes after `SESSION`, which goes by all rows of its table
--  fix: put it before: `WITH some AS (SELECT … WHERE …) SELECT … FROM SESSION(some, …) GROUP BY …`; or, for aggregates only, write `FILTER (WHERE …)`

SELECT window_start, sensor, count(*) FROM SESSION(readings, ts, INTERVAL '1 minute', upper(sensor)) GROUP BY window_start, sensor
-- error v: 1:87 `upper(sensor)` is no column: a session is kept for each value of columns
--  fix: compute it before: `WITH keyed AS (SELECT *, upper(sensor) AS key FROM readings) … FROM SESSION(keyed, …, key)`

SELECT window_start, tag, count(*) FROM SESSION(readings, ts, INTERVAL '1 minute') AS s CROSS JOIN UNNEST(s.tags) AS t(tag) GROUP BY window_start, tag
-- error v: 1:100 `UNNEST` comes after `SESSION`, which goes by all rows of its table
--  fix: put it before: `WITH some AS (SELECT … WHERE …) SELECT … FROM SESSION(some, …) GROUP BY …`; or, for aggregates only, write `FILTER (WHERE …)`

SELECT count(*) FROM TUMBLE(sessions, window_start, INTERVAL '1 hour') GROUP BY window_start
-- error v: 1:29 there is no source or view `sessions`
--  fix: known: `readings`, `plain`, `devices`, `alive`, `v`

-- view sessions
SELECT window_start, window_end, count(*) AS n FROM SESSION(readings, ts, INTERVAL '1 minute') GROUP BY window_start, window_end
-- view v
SELECT count(*) FROM TUMBLE(sessions, window_start, INTERVAL '1 hour') GROUP BY window_start
-- error v: 1:39 `window_start` is not the event time of `sessions`
--  fix: use `window_end`

-- What is not yet possible, beside a window.
SELECT window_start, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start ORDER BY n LIMIT 3
-- error v: 1:105 `ORDER BY … LIMIT` is not possible: an endless stream has no last row to sort before
--  fix: for the best of each key, or of all, number them: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT window_start, count(*) OVER (PARTITION BY window_start) FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: 1:22 `count` with `OVER` and no `ORDER BY` is not possible: it would need all rows of a key, of which there is no last one
--  fix: say in which order rows count: `OVER (PARTITION BY … ORDER BY ts)` with the event time

SELECT a.id FROM TUMBLE(readings, ts, INTERVAL '1 minute') a JOIN TUMBLE(readings, ts, INTERVAL '1 minute') b ON a.id = b.id
-- error v: 1:62 rows of `a` and `b` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND b.ts BETWEEN a.ts - INTERVAL '1 hour' AND a.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT every(value > 1) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:8 there is no function `every`
--  fix: did you mean `bool_and`?

SELECT listagg(sensor) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:8 there is no function `listagg`
--  fix: did you mean `string_agg`?

SELECT sum(sensor) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:8 `sum(sensor)` cannot be computed: `sum` requires Decimal, but received string (DataType: string).,`sum` requires Uint64, but received string (DataType: string).,`sum` requires int64, but received string (DataType: string).,`sum` requires float64, but received string (DataType: string).,`sum` requires Duration, but received string (DataType: string).,`sum` requires Interval, but received string (DataType: string)
--  fix: call it as `sum(Decimal)` or `sum(Uint64)` or `sum(int64)` or `sum(float64)`

SELECT percentile_cont(value, 2) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:81 rows are grouped without their window, so that a row would count in a group once for each window it is in
--  fix: write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever
-- error v: 1:90 `window_start` cannot be computed: percentile value must be between 0.0 and 1.0 inclusive, 2 is invalid

SELECT string_agg(sensor, id) FROM TUMBLE(readings, ts, INTERVAL '1 minute') GROUP BY window_start
-- error v: 1:78 rows are grouped without their window, so that a row would count in a group once for each window it is in
--  fix: write `GROUP BY window_start, window_end, …`; or leave the window out, for a group that runs on for ever
-- error v: 1:87 `window_start` cannot be computed: string_agg delimiter must be a string literal

-- Answers that may be others the next time do not reach what keeps state.
SELECT window_start, a.name, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute') r LEFT JOIN alive a ON a.key = r.sensor GROUP BY window_start, a.name
-- error v: 1:93 the answers of `alive` are not recorded, so its state could not be made again of the same rows
--  fix: have the lookup `alive` record its answers, or join it to the rows that windows give

-- view named
SELECT ts, a.name FROM readings r LEFT JOIN alive a ON a.key = r.sensor
-- view v
SELECT window_start, name, count(*) FROM TUMBLE(named, ts, INTERVAL '1 minute') GROUP BY window_start, name
-- error v: 1:37 the answers of `alive` are not recorded, so its state could not be made again of the same rows
--  fix: have the lookup `alive` record its answers, or join it to the rows that windows give

SELECT count(*) AS n FROM TUMBLE((SELECT ts FROM readings), ts, INTERVAL '1 minute') GROUP BY window_start, window_end
-- error v: 1:35 the first argument of `TUMBLE` is the name of a source or view
--  fix: give the query a name: `WITH wanted AS (SELECT ts FROM readings) SELECT … FROM TUMBLE(wanted, ts, INTERVAL '1 minute')`

SELECT count(*) AS n FROM readings GROUP BY TUMBLE(ts, INTERVAL '1 minute')
-- error v: 1:45 `tumble` is no function of a row
--  fix: windows stand in `FROM`: `FROM TUMBLE(readings, ts, INTERVAL '1 minute')`, and `GROUP BY window_start, window_end, …`

SELECT user, count(*) AS n FROM SESSION(readings, ts, INTERVAL '1 minute', user) GROUP BY user, window_start, window_end
-- error v: 1:76 `user` is a function in SQL where it is not quoted
--  fix: write `"user"` for the column of this name

SELECT TUMBLE_START(ts, INTERVAL '1 minute') AS a, TUMBLE_END(ts, INTERVAL '1 minute') AS b, count(*) AS n FROM readings GROUP BY TUMBLE(ts, INTERVAL '1 minute')
-- error v: 1:8 there is no function `tumble_start`
--  fix: did you mean `window_start`?
-- error v: 1:52 there is no function `tumble_end`
--  fix: did you mean `window_end`?
-- error v: 1:131 `tumble` is no function of a row
--  fix: windows stand in `FROM`: `FROM TUMBLE(readings, ts, INTERVAL '1 minute')`, and `GROUP BY window_start, window_end, …`
