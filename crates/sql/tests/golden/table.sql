-- table devices {"id":"string","name":"string","ceiling":"float64","kind":"string"}
-- {"id":"a","name":"first","ceiling":10,"kind":"x"}
-- {"id":"b","name":"second","ceiling":100,"kind":"y"}
-- {"id":"c","name":null,"ceiling":60,"kind":"x"}
-- {"id":"a","name":"again","ceiling":3,"kind":"y"}
-- {"id":null,"name":"nobody","ceiling":1,"kind":"x"}
-- table side {"key":"int64","value":"string"}
-- {"key":1,"value":"one"}
-- {"key":2,"value":"two"}
-- table empty {"key":"int64"}
-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp"} time ts delay 0
-- {"id":1,"sensor":"a","value":5,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"sensor":"b","value":50,"ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"sensor":"a","value":11,"ts":"2026-01-01T00:00:03Z"}
-- {"id":4,"sensor":null,"value":1,"ts":"2026-01-01T00:00:04Z"}
-- {"id":5,"sensor":"gone","value":2,"ts":"2026-01-01T00:00:11Z"}
-- {"id":6,"sensor":"c","value":70,"ts":"2026-01-01T00:00:12Z"}

SELECT r.id, d.name FROM readings r JOIN devices d ON d.id = r.sensor
-- columns id Int64?, name Utf8?
-- plan scan readings (id, sensor)
-- plan   join table devices (name) by sensor = id; rows without a match are left out
-- plan   project id, name
-- row 3/0/0 {"id":1,"name":"first"}
-- row 3/0/0 {"id":1,"name":"again"}
-- row 3/0/1 {"id":2,"name":"second"}
-- row 3/0/2 {"id":3,"name":"first"}
-- row 3/0/2 {"id":3,"name":"again"}
-- row 3/0/5 {"id":6,"name":null}
-- account in 6 + made 2 = out 6 + filtered 2 + set aside 0

SELECT r.id, d.name, d.ceiling FROM readings r LEFT JOIN devices d ON r.sensor = d.id
-- columns id Int64?, name Utf8?, ceiling Float64?
-- plan scan readings (id, sensor)
-- plan   join table devices (name, ceiling) by sensor = id
-- plan   project id, name, ceiling
-- row 3/0/0 {"id":1,"name":"first","ceiling":10.0}
-- row 3/0/0 {"id":1,"name":"again","ceiling":3.0}
-- row 3/0/1 {"id":2,"name":"second","ceiling":100.0}
-- row 3/0/2 {"id":3,"name":"first","ceiling":10.0}
-- row 3/0/2 {"id":3,"name":"again","ceiling":3.0}
-- row 3/0/3 {"id":4,"name":null,"ceiling":null}
-- row 3/0/4 {"id":5,"name":null,"ceiling":null}
-- row 3/0/5 {"id":6,"name":null,"ceiling":60.0}
-- account in 6 + made 2 = out 8 + filtered 0 + set aside 0

-- Other conditions beside the key; those of the row alone leave it without a match.
SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON r.sensor = d.id AND r.value > d.ceiling AND r.id < 6
-- columns id Int64?, name Utf8?
-- plan scan readings (id, sensor, value)
-- plan   join table devices (name) by sensor = id AND (value > ceiling) AND (id < 6)
-- plan   project id, name
-- row 3/0/0 {"id":1,"name":"again"}
-- row 3/0/1 {"id":2,"name":null}
-- row 3/0/2 {"id":3,"name":"first"}
-- row 3/0/2 {"id":3,"name":"again"}
-- row 3/0/3 {"id":4,"name":null}
-- row 3/0/4 {"id":5,"name":null}
-- row 3/0/5 {"id":6,"name":null}
-- account in 6 + made 1 = out 7 + filtered 0 + set aside 0

-- Only a condition that is no equality.
SELECT r.id, d.name FROM readings r JOIN devices d ON r.value > d.ceiling WHERE r.id > 1
-- columns id Int64?, name Utf8?
-- plan scan readings (id, value)
-- plan   filter id > 1
-- plan   join table devices (name) by value > ceiling; rows without a match are left out
-- plan   project id, name
-- row 3/0/1 {"id":2,"name":"first"}
-- row 3/0/1 {"id":2,"name":"again"}
-- row 3/0/1 {"id":2,"name":"nobody"}
-- row 3/0/2 {"id":3,"name":"first"}
-- row 3/0/2 {"id":3,"name":"again"}
-- row 3/0/2 {"id":3,"name":"nobody"}
-- row 3/0/4 {"id":5,"name":"nobody"}
-- row 3/0/5 {"id":6,"name":"first"}
-- row 3/0/5 {"id":6,"name":null}
-- row 3/0/5 {"id":6,"name":"again"}
-- row 3/0/5 {"id":6,"name":"nobody"}
-- account in 6 + made 7 = out 11 + filtered 2 + set aside 0

SELECT r.id, s.value FROM readings r JOIN side s ON r.id % 3 = s.key
-- columns id Int64?, value Utf8?
-- plan scan readings (id)
-- plan   join table side (value) by id % 3 = key; rows without a match are left out
-- plan   project id, value
-- row 3/0/0 {"id":1,"value":"one"}
-- row 3/0/1 {"id":2,"value":"two"}
-- row 3/0/3 {"id":4,"value":"one"}
-- row 3/0/4 {"id":5,"value":"two"}
-- account in 6 + made 0 = out 4 + filtered 2 + set aside 0

-- All columns, the table on the left.
SELECT s.*, r.id, r.sensor FROM side s JOIN readings r ON s.key = r.id
-- columns key Int64?, value Utf8?, id Int64?, sensor Utf8?
-- plan scan readings (id, sensor)
-- plan   join table side (key, value) by id = key; rows without a match are left out
-- plan   project key, value, id, sensor
-- row 3/0/0 {"key":1,"value":"one","id":1,"sensor":"a"}
-- row 3/0/1 {"key":2,"value":"two","id":2,"sensor":"b"}
-- account in 6 + made 0 = out 2 + filtered 4 + set aside 0

SELECT side.*, id, sensor FROM side RIGHT JOIN readings ON side.key = readings.id
-- columns key Int64?, value Utf8?, id Int64?, sensor Utf8?
-- plan scan readings (id, sensor)
-- plan   join table side (key, value) by id = key
-- plan   project key, value, id, sensor
-- row 3/0/0 {"key":1,"value":"one","id":1,"sensor":"a"}
-- row 3/0/1 {"key":2,"value":"two","id":2,"sensor":"b"}
-- row 3/0/2 {"key":null,"value":null,"id":3,"sensor":"a"}
-- row 3/0/3 {"key":null,"value":null,"id":4,"sensor":null}
-- row 3/0/4 {"key":null,"value":null,"id":5,"sensor":"gone"}
-- row 3/0/5 {"key":null,"value":null,"id":6,"sensor":"c"}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT r.id, s.value FROM readings r, side s WHERE r.id = s.key AND r.value > 5
-- columns id Int64?, value Utf8?
-- plan scan readings (id, value)
-- plan   filter value > 5.0
-- plan   project id
-- plan   join table side (value) by id = key; rows without a match are left out
-- plan   project id, value
-- row 3/0/1 {"id":2,"value":"two"}
-- account in 6 + made 0 = out 1 + filtered 5 + set aside 0

SELECT r.id, s.value, d.name FROM readings r, side s, devices d WHERE r.sensor = d.id AND r.id = s.key AND s.value <> 'x'
-- columns id Int64?, value Utf8?, name Utf8?
-- plan scan readings (id, sensor)
-- plan   join table side (value) by id = key AND value != 'x'; rows without a match are left out
-- plan   join table devices (name) by sensor = id; rows without a match are left out
-- plan   project id, value, name
-- row 3/0/0 {"id":1,"value":"one","name":"first"}
-- row 3/0/0 {"id":1,"value":"one","name":"again"}
-- row 3/0/1 {"id":2,"value":"two","name":"second"}
-- account in 6 + made 1 = out 3 + filtered 4 + set aside 0

SELECT id, s.value FROM readings CROSS JOIN side s WHERE id = 6
-- columns id Int64?, value Utf8?
-- plan scan readings (id)
-- plan   filter id = 6
-- plan   join table side (value); rows without a match are left out
-- plan   project id, value
-- row 3/0/5 {"id":6,"value":"one"}
-- row 3/0/5 {"id":6,"value":"two"}
-- account in 6 + made 1 = out 2 + filtered 5 + set aside 0

SELECT r.id, side.value FROM readings r JOIN (SELECT key AS id, upper(value) AS value FROM side WHERE key > 1) side USING (id)
-- columns id Int64?, value Utf8?
-- plan scan readings (id)
-- plan   join table side (value) by id = id; rows without a match are left out; of the table: filter key > 1, project key AS id, upper(value) AS value
-- plan   project id, value
-- row 3/0/1 {"id":2,"value":"TWO"}
-- account in 6 + made 0 = out 1 + filtered 5 + set aside 0

WITH hot AS (SELECT * FROM devices WHERE ceiling >= 10) SELECT r.id, hot.name FROM readings r LEFT JOIN hot ON hot.id = r.sensor
-- columns id Int64?, name Utf8?
-- plan scan readings (id, sensor)
-- plan   join table devices (name) by sensor = id; of the table: filter ceiling >= CAST(10 AS float64), project id, name, ceiling, kind
-- plan   project id, name
-- row 3/0/0 {"id":1,"name":"first"}
-- row 3/0/1 {"id":2,"name":"second"}
-- row 3/0/2 {"id":3,"name":"first"}
-- row 3/0/3 {"id":4,"name":null}
-- row 3/0/4 {"id":5,"name":null}
-- row 3/0/5 {"id":6,"name":null}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT id FROM readings WHERE id IN (SELECT key FROM side)
-- columns id Int64?
-- plan scan readings (id)
-- plan   keep rows with a match in table side by id = key; of the table: project key
-- row 3/0/0 {"id":1}
-- row 3/0/1 {"id":2}
-- account in 6 + made 0 = out 2 + filtered 4 + set aside 0

SELECT id FROM readings WHERE id NOT IN (SELECT key FROM side) AND value > 1
-- columns id Int64?
-- plan scan readings (id, value)
-- plan   filter value > 1.0
-- plan   keep rows surely without a match in table side by id = key; of the table: project key
-- plan   project id
-- row 3/0/2 {"id":3}
-- row 3/0/4 {"id":5}
-- row 3/0/5 {"id":6}
-- account in 6 + made 0 = out 3 + filtered 3 + set aside 0

-- Nulls: nothing is known not to be in there.
SELECT id FROM readings WHERE sensor NOT IN (SELECT id FROM devices)
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   keep rows surely without a match in table devices by sensor = id; of the table: project id
-- plan   project id
-- account in 6 + made 0 = out 0 + filtered 6 + set aside 0

SELECT id FROM readings WHERE sensor NOT IN (SELECT id FROM devices WHERE id IS NOT NULL)
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   keep rows surely without a match in table devices by sensor = id; of the table: filter id IS NOT NULL, project id
-- plan   project id
-- row 3/0/4 {"id":5}
-- account in 6 + made 0 = out 1 + filtered 5 + set aside 0

SELECT id FROM readings WHERE id NOT IN (SELECT key FROM empty)
-- columns id Int64?
-- plan scan readings (id)
-- plan   keep rows surely without a match in table empty by id = key; of the table: project key
-- row 3/0/0 {"id":1}
-- row 3/0/1 {"id":2}
-- row 3/0/2 {"id":3}
-- row 3/0/3 {"id":4}
-- row 3/0/4 {"id":5}
-- row 3/0/5 {"id":6}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT id FROM readings r WHERE EXISTS (SELECT 1 FROM devices d WHERE d.id = r.sensor AND d.ceiling < r.value)
-- columns id Int64?
-- plan scan readings (id, sensor, value)
-- plan   keep rows with a match in table devices by sensor = id AND ceiling < value; of the table: project 1 AS 1, ceiling, id
-- plan   project id
-- row 3/0/0 {"id":1}
-- row 3/0/2 {"id":3}
-- row 3/0/5 {"id":6}
-- account in 6 + made 0 = out 3 + filtered 3 + set aside 0

SELECT id FROM readings r WHERE NOT EXISTS (SELECT * FROM devices d WHERE d.id = r.sensor)
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   keep rows without a match in table devices by sensor = id; of the table: project id, name, ceiling, kind
-- plan   project id
-- row 3/0/3 {"id":4}
-- row 3/0/4 {"id":5}
-- account in 6 + made 0 = out 2 + filtered 4 + set aside 0

SELECT id FROM readings WHERE sensor IN (SELECT DISTINCT id FROM devices)
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   keep rows with a match in table devices by sensor = id; of the table: project id
-- plan   project id
-- row 3/0/0 {"id":1}
-- row 3/0/1 {"id":2}
-- row 3/0/2 {"id":3}
-- row 3/0/5 {"id":6}
-- account in 6 + made 0 = out 4 + filtered 2 + set aside 0

-- Two tables one after the other, the key of one made of what the other has.
SELECT r.id, s.value FROM readings r JOIN devices d ON d.id = r.sensor LEFT JOIN side s ON s.key = CAST(d.ceiling AS bigint) - 2
-- columns id Int64?, value Utf8?
-- plan scan readings (id, sensor)
-- plan   join table devices (ceiling) by sensor = id; rows without a match are left out
-- plan   join table side (value) by CAST(ceiling AS int64) - 2 = key
-- plan   project id, value
-- row 3/0/0 {"id":1,"value":null}
-- row 3/0/0 {"id":1,"value":"one"}
-- row 3/0/1 {"id":2,"value":null}
-- row 3/0/2 {"id":3,"value":null}
-- row 3/0/2 {"id":3,"value":"one"}
-- row 3/0/5 {"id":6,"value":null}
-- account in 6 + made 2 = out 6 + filtered 2 + set aside 0

-- A window behind a join, and a join behind a window.
SELECT window_start, d.kind, count(*) AS n FROM TUMBLE((SELECT r.ts, d.kind FROM readings r JOIN devices d ON d.id = r.sensor) , ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, d.kind
-- error v: 1:57 the first argument of `TUMBLE` is the name of a source or view
--  fix: give the query a name: `WITH wanted AS (SELECT r.ts, d.kind FROM readings r JOIN devices d ON d.id = r.sensor) SELECT … FROM TUMBLE(wanted, ts, INTERVAL '1 minute')`

-- view joined
SELECT r.ts, r.value, d.kind FROM readings r JOIN devices d ON d.id = r.sensor
-- view v
SELECT window_start, kind, count(*) AS n FROM TUMBLE(joined, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, kind
-- columns window_start Timestamp(µs, "UTC"), kind Utf8?, n Int64
-- plan scan joined (ts, kind)
-- plan   project kind, window_start, window_end
-- plan window 1: TUMBLE of 10 seconds of ts, by kind
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_start, kind, count(*) AS n
-- row 3/-/0 {"window_start":"2026-01-01T00:00:00Z","kind":"x","n":2}
-- row 3/-/1 {"window_start":"2026-01-01T00:00:00Z","kind":"y","n":3}
-- row 4/-/0 {"window_start":"2026-01-01T00:00:10Z","kind":"x","n":1}
-- account in 6 + made 3 = out 3 + filtered 0 + set aside 0 + absorbed 6 + late 0

-- view counted
SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, sensor
-- view v
SELECT c.window_end, c.n, d.name FROM counted c JOIN devices d ON d.id = c.sensor
-- columns window_end Timestamp(µs, "UTC"), n Int64, name Utf8?
-- plan scan counted (window_end, sensor, n)
-- plan   join table devices (name) by sensor = id; rows without a match are left out
-- plan   project window_end, n, name
-- row 3/-/1 {"window_end":"2026-01-01T00:00:10Z","n":2,"name":"first"}
-- row 3/-/1 {"window_end":"2026-01-01T00:00:10Z","n":2,"name":"again"}
-- row 3/-/2 {"window_end":"2026-01-01T00:00:10Z","n":1,"name":"second"}
-- row 4/-/0 {"window_end":"2026-01-01T00:00:20Z","n":1,"name":null}
-- account in 5 + made 1 = out 4 + filtered 2 + set aside 0

SELECT c.window_end, c.n, d.name FROM (SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, sensor) c JOIN devices d ON d.id = c.sensor
-- columns window_end Timestamp(µs, "UTC"), n Int64, name Utf8?
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: TUMBLE of 10 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, sensor, count(*) AS n
-- plan   join table devices (name) by sensor = id; rows without a match are left out
-- plan   project window_end, n, name
-- row 3/-/0 {"window_end":"2026-01-01T00:00:10Z","n":2,"name":"first"}
-- row 3/-/1 {"window_end":"2026-01-01T00:00:10Z","n":2,"name":"again"}
-- row 3/-/2 {"window_end":"2026-01-01T00:00:10Z","n":1,"name":"second"}
-- row 4/-/0 {"window_end":"2026-01-01T00:00:20Z","n":1,"name":null}
-- account in 6 + made 6 = out 4 + filtered 2 + set aside 0 + absorbed 6 + late 0

-- A row of the table that cannot be computed fails all rows that need the table.
SELECT r.id, s.q FROM readings r JOIN (SELECT key, 10 / (key - 1) AS q FROM side) s ON s.key = r.id
-- columns id Int64?, q Int64?
-- plan scan readings (id)
-- plan   join table side (q) by id = key; rows without a match are left out; of the table: project key, 10 / (key - 1) AS q
-- plan   project id, q
-- refused 3/0/0 a row of the table `side` cannot be computed: division by zero
-- refused 3/0/1 a row of the table `side` cannot be computed: division by zero
-- refused 3/0/2 a row of the table `side` cannot be computed: division by zero
-- refused 3/0/3 a row of the table `side` cannot be computed: division by zero
-- refused 3/0/4 a row of the table `side` cannot be computed: division by zero
-- refused 3/0/5 a row of the table `side` cannot be computed: division by zero
-- account in 6 + made 0 = out 0 + filtered 0 + set aside 6

-- A pair that cannot be computed fails its row.
SELECT r.id, s.value FROM readings r JOIN side s ON s.key = r.id AND 10 / (r.id - 2) > 0
-- columns id Int64?, value Utf8?
-- plan scan readings (id)
-- plan   join table side (value) by id = key AND (10 / (id - 2)) > 0; rows without a match are left out
-- plan   project id, value
-- refused 3/0/1 division by zero
-- account in 6 + made 0 = out 0 + filtered 5 + set aside 1

-- Nothing of the table is read.
SELECT r.id FROM readings r LEFT JOIN side s ON s.key = r.id
-- columns id Int64?
-- plan scan readings (id)
-- plan   join table side () by id = key
-- plan   project id
-- row 3/0/0 {"id":1}
-- row 3/0/1 {"id":2}
-- row 3/0/2 {"id":3}
-- row 3/0/3 {"id":4}
-- row 3/0/4 {"id":5}
-- row 3/0/5 {"id":6}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT r.id FROM readings r JOIN side s ON s.key = r.id
-- columns id Int64?
-- plan scan readings (id)
-- plan   join table side () by id = key; rows without a match are left out
-- plan   project id
-- row 3/0/0 {"id":1}
-- row 3/0/1 {"id":2}
-- account in 6 + made 0 = out 2 + filtered 4 + set aside 0

SELECT * FROM side
-- error v: 1:10 `side` is a reference table: no rows of it stream by, so a view cannot be made of it alone
--  fix: read a source, and join the table to it: `FROM readings r JOIN side t ON t.… = r.…`, or ask `WHERE … IN (SELECT … FROM side)`

SELECT key FROM side UNION ALL SELECT id FROM readings
-- error v: 1:12 `side` is a reference table: no rows of it stream by, so a view cannot be made of it alone
--  fix: read a source, and join the table to it: `FROM readings r JOIN side t ON t.… = r.…`, or ask `WHERE … IN (SELECT … FROM side)`

SELECT r.id FROM readings r RIGHT JOIN side s ON s.key = r.id
-- error v: 1:29 `RIGHT JOIN` of a reference table is not possible: its rows without a match would be due once all others had come, and these never end
--  fix: take `LEFT JOIN` or `INNER JOIN`, with the reference table on the right

SELECT r.id FROM readings r FULL JOIN side s ON s.key = r.id
-- error v: 1:29 `FULL JOIN` of a reference table is not possible: its rows without a match would be due once all others had come, and these never end
--  fix: take `LEFT JOIN` or `INNER JOIN`, with the reference table on the right

SELECT r.id FROM side s LEFT JOIN readings r ON s.key = r.id
-- error v: 1:30 `RIGHT JOIN` of a reference table is not possible: its rows without a match would be due once all others had come, and these never end
--  fix: take `LEFT JOIN` or `INNER JOIN`, with the reference table on the right

SELECT s.key FROM side s JOIN devices d ON d.ceiling = s.key
-- error v: 1:26 two reference tables are joined to each other, and no rows stream by that these could be for
--  fix: join them one after the other to the rows: `FROM rows JOIN one ON … JOIN other ON …`

SELECT r.id FROM readings r JOIN side s ON s.key = r.id JOIN readings q ON q.id = r.id
-- error v: 1:29 rows of `r` and `q` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND q.ts BETWEEN r.ts - INTERVAL '1 hour' AND r.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT id FROM readings WHERE id > 3 OR id IN (SELECT key FROM side)
-- error v: 1:44 `IN (SELECT …)` and `EXISTS (SELECT …)` inside of another condition are not yet possible
--  fix: let it stand alone beside an `AND`; or `LEFT JOIN` the table, and ask whether its column `IS NULL`

SELECT id FROM readings WHERE id IN (SELECT id FROM readings)
-- error v: 1:34 rows of `readings` and `readings` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND readings.ts BETWEEN readings.ts - INTERVAL '1 hour' AND readings.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT id, (SELECT max(key) FROM side) FROM readings
-- error v: 1:13 a `SELECT` inside an expression is not yet possible: of which row of the other query it is would be known only at the end
--  fix: join the other query by keys and event time, or ask `EXISTS (SELECT …)` of it in `WHERE`
-- error v: 1:20 `max` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(side, …, INTERVAL '1 minute') GROUP BY window_start, window_end, …`; of several columns in one row take `greatest(a, b)`

SELECT window_start, count(*) FROM TUMBLE(side, key, INTERVAL '1 minute') GROUP BY window_start, window_end
-- error v: 1:43 `side` is a reference table: no rows of it stream by that could be in a window
--  fix: read a source in `TUMBLE`, and join the table to it

SELECT r.id, s.nme FROM readings r JOIN side s ON s.key = r.id
-- error v: 1:14 there is no column `nme` in `s`
--  fix: known: `id`, `sensor`, `value`, `ts`, `key`, `value`

SELECT r.id FROM readings r JOIN side s ON s.key = r.sensor
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   join table side () by CAST(sensor AS int64) = key; rows without a match are left out
-- plan   project id
-- refused 3/0/0 cannot cast string `a` to value of int64 type
-- refused 3/0/1 cannot cast string `b` to value of int64 type
-- refused 3/0/2 cannot cast string `a` to value of int64 type
-- refused 3/0/4 cannot cast string `gone` to value of int64 type
-- refused 3/0/5 cannot cast string `c` to value of int64 type
-- account in 6 + made 0 = out 0 + filtered 1 + set aside 5

SELECT id FROM readings r WHERE sensor NOT IN (SELECT id FROM devices d WHERE d.ceiling > r.value)
-- error v: 1:44 `NOT IN (SELECT …)` with a condition on the row inside is not possible: where nulls come in, it would depend on all rows of the table for each row
--  fix: write `NOT EXISTS (SELECT 1 FROM … WHERE …)`

-- view c lateness 1000000
SELECT window_start, window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, sensor
-- view v
SELECT c.n, d.name FROM c JOIN devices d ON d.id = c.sensor
-- error v: 1:27 a join with a reference table is not possible over rows that are given anew, each in place of one before: the row given before may have met other rows there than the one in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`
