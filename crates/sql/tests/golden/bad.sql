-- input readings {"id":"int64","sensorId":"string","value":"float64","ts":"timestamp","tags":{"list":"string"},"place":{"struct":{"x":"float64","y":"float64"}},"doc":"json","ok":"bool"}

SELECT idd FROM readings
-- error v: 1:8 there is no column `idd`
--  fix: did you mean `id`? known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`

SELECT valeu, zebra, readings.nope FROM readings WHERE vlaue > 1
-- error v: two columns have the same name
--  fix: give one another name with `AS`
-- error v: 1:8 there is no column `valeu`
--  fix: did you mean `value`? known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`
-- error v: 1:15 there is no column `zebra`
--  fix: known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`
-- error v: 1:22 there is no column `nope` in `readings`
--  fix: known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`
-- error v: 1:56 there is no column `vlaue`
--  fix: did you mean `value`? known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`

SELECT sensorid FROM readings WHERE SENSORID = 'a'
-- columns sensorId Utf8?
-- plan scan readings (sensorId)
-- plan   filter sensorId = 'a'
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT id FROM reading
-- error v: 1:16 there is no source or view `reading`
--  fix: did you mean `readings`? known: `readings`, `v`

SELECT id, place.z FROM readings
-- error v: 1:12 `place.z` cannot be computed: field z not found in struct

SELECT place.x FROM readings
-- columns x Float64?
-- plan scan readings (place)
-- plan   project place.x AS x
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT abss(id) FROM readings
-- error v: 1:8 there is no function `abss`
--  fix: did you mean `abs`?

SELECT abs(sensorId) FROM readings
-- error v: 1:8 `abs(sensorId)` cannot be computed: `abs` expects number but received string
--  fix: call it as `abs(number)`

SELECT abs() FROM readings
-- error v: 1:8 `abs()` cannot be computed: `abs` needs arguments
--  fix: call it as `abs(number)`

SELECT abs(1, 2) FROM readings
-- error v: 1:8 `abs(1, 2)` cannot be computed: `abs` expects 1 argument but received 2
--  fix: call it as `abs(number)`

SELECT id + ok FROM readings
-- error v: 1:8 `id + ok` cannot be computed: there is no `int64 + bool`
--  fix: cast one side: `CAST(… AS …)`

SELECT id FROM readings WHERE value
-- error v: 1:31 `WHERE` needs a condition, and this is of type float64
--  fix: compare it with something: `… > 0`

SELECT id FROM readings WHERE sensorId > 5
-- columns id Int64?
-- plan scan readings (id, sensorId)
-- plan   filter CAST(sensorId AS int64) > 5
-- plan   project id
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT id FROM readings WHERE ts > 5
-- error v: 1:31 `ts > 5` cannot be computed: there is no `timestamp > int64`
--  fix: cast one side: `CAST(… AS …)`

SELECT id FROM readings WHERE ok = 3
-- error v: 1:31 `ok = 3` cannot be computed: there is no `bool = int64`
--  fix: cast one side: `CAST(… AS …)`

SELECT id FROM readings WHERE place = 3
-- error v: 1:31 `place = 3` cannot be computed: there is no `struct("x": float64, "y": float64) = int64`
--  fix: cast one side: `CAST(… AS …)`

SELECT -sensorId FROM readings
-- error v: 1:9 `-sensorId` cannot be computed: unary operator `-` only supports signed numeric, interval and timestamp types

SELECT NOT id FROM readings
-- error v: 1:12 `NOT id` cannot be computed: unary operator `NOT` requires a boolean expression, got int64

SELEC id FROM readings
-- error v: 1:1 `SELEC` stands where an SQL statement is expected

SELECT id FORM readings
-- error v: 1:16 `readings` stands where end of statement is expected

SELECT id FROM
-- error v: the query ends where identifier is expected
--  fix: a view is one `SELECT … FROM …`

SELECT id, FROM readings
-- columns id Int64?
-- plan scan readings (id)
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT (id FROM readings
-- error v: 1:12 `FROM` stands where ) is expected

SELECT 'abc FROM readings
-- error v: 1:8 the query cannot be read: unterminated string literal
--  fix: a view is one `SELECT … FROM …`

SELECT id FROM readings WHERE
-- error v: the query ends where an expression is expected
--  fix: a view is one `SELECT … FROM …`

SELECT id FROM readings WHERE id = = 1
-- error v: 1:36 `=` stands where an expression is expected

SELECT CAST(id AS FOO) FROM readings
-- error v: 1:13 there is no type `FOO`
--  fix: known: BIGINT, INT, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP, DATE, TIME, INTERVAL, DECIMAL(p, s), BYTEA

SELECT CAST(place AS INT) FROM readings
-- error v: 1:13 `CAST(place AS INT)` cannot be computed: unsupported CAST from struct("x": float64, "y": float64) to int32

SELECT id AS a, value AS a FROM readings
-- error v: 1:17 two columns are called `a`
--  fix: give one another name with `AS`

SELECT id, id FROM readings
-- error v: 1:12 two columns are called `id`
--  fix: give one another name with `AS`

SELECT id, value + 1, value + 1 FROM readings
-- error v: 1:23 two columns are called `value + 1`
--  fix: give one another name with `AS`

SELECT upper(id), upper(ok) FROM readings
-- error v: 1:19 two columns are called `upper`
--  fix: give one another name with `AS`

SELECT count(*) FROM readings
-- error v: 1:8 `count` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(readings, …, INTERVAL '1 minute') GROUP BY window_start, window_end, …`

SELECT sensorId, avg(value), max(value) FROM readings GROUP BY sensorId HAVING avg(value) > 1
-- error v: 1:73 a condition on computed columns is not possible over rows that are given anew, each in place of one before: a row that no longer fulfils it would leave the one before in its place
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

SELECT DISTINCT id FROM readings
-- columns id Int64?
-- plan scan readings (id)
-- plan distinct 1: each id once, when it is first seen
-- plan   keep each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT id FROM readings ORDER BY id LIMIT 5
-- error v: 1:25 `ORDER BY … LIMIT` is not possible: an endless stream has no last row to sort before
--  fix: for the best of each key, or of all, number them: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT a.id FROM readings a JOIN readings b ON a.id = b.id
-- error v: 1:29 `a` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `readings`

SELECT a.id FROM readings a, readings b
-- error v: 1:13 `a` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `readings`

SELECT id, row_number() OVER (ORDER BY ts) FROM readings
-- error v: 1:25 `OVER` is in the order of `ts`, which is not event time: rows that belong before a row could come at any time
--  fix: declare `event_time` at the source, and write `ORDER BY` its column; or, for the best of each key, `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT id FROM readings UNION SELECT id FROM readings
-- columns id Int64?
-- plan scan readings (id)
-- plan scan readings (id)
-- plan distinct 1: each id once, when it is first seen
-- plan   keep each key for ever, 1 GiB at most (`state_bytes`); with `state_ttl` keys go that get no more rows
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT id FROM readings EXCEPT SELECT id FROM readings
-- error v: 1:25 `EXCEPT` is not yet possible: it has to remember all rows
--  fix: filter with `WHERE`, or join the inputs with `UNION`

SELECT id FROM readings WHERE id IN (SELECT id FROM readings)
-- error v: 1:34 `readings` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `readings`

SELECT id FROM readings WHERE EXISTS (SELECT 1 FROM readings)
-- error v: 1:31 `readings` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `readings`

SELECT (SELECT max(id) FROM readings) FROM readings
-- error v: 1:9 a `SELECT` inside an expression is not yet possible: of which row of the other query it is would be known only at the end
--  fix: join the other query by keys and event time, or ask `EXISTS (SELECT …)` of it in `WHERE`
-- error v: 1:16 `max` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(readings, …, INTERVAL '1 minute') GROUP BY window_start, window_end, …`; of several columns in one row take `greatest(a, b)`

SELECT random() FROM readings
-- error v: 1:8 `random` is not possible: it gives another result each time, so rows could not be made again after a restart
--  fix: use what is in the rows; `now()` is the arrival time of a row

SELECT uuid(), id FROM readings
-- error v: 1:8 `uuid` is not possible: it gives another result each time, so rows could not be made again after a restart
--  fix: use what is in the rows; `now()` is the arrival time of a row

SELECT id FROM readings; SELECT 1
-- error v: 1:26 a view is one query, and here are several
--  fix: make each query a view of its own

INSERT INTO readings VALUES (1)
-- error v: 1:1 `INSERT` is no query: a view can only read
--  fix: a view is one `SELECT … FROM …`

DROP TABLE readings
-- error v: 1:1 `DROP` is no query: a view can only read
--  fix: a view is one `SELECT … FROM …`

SET x = 1
-- error v: 1:1 `SET` is no query: a view can only read
--  fix: a view is one `SELECT … FROM …`

COPY readings TO 'x'
-- error v: 1:1 `COPY` is no query: a view can only read
--  fix: a view is one `SELECT … FROM …`

SELECT 1
-- error v: 1:1 a `SELECT` without `FROM` is not possible: it would have no rows ever
--  fix: read a source: `SELECT … FROM …`

VALUES (1)
-- error v: 1:8 `VALUES` is not possible: a view makes rows of the rows of a source
--  fix: read a source: `SELECT … FROM …`

WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a
-- error v: 1:6 `WITH RECURSIVE` is not yet possible: it joins its own rows
--  fix: use `WITH` without `RECURSIVE`
-- error v: 1:22 a `SELECT` without `FROM` is not possible: it would have no rows ever
--  fix: read a source: `SELECT … FROM …`

SELECT * FROM TUMBLE(readings, ts, INTERVAL '1 minute')
-- error v: 1:32 `ts` is not the event time of `readings`
--  fix: declare `event_time: { column: ts }` at the source `readings`

SELECT * FROM generate_series(1, 10)
-- error v: 1:15 there is no table function `generate_series`
--  fix: functions that give rows are `UNNEST(list)`, and `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` over a table

SELECT $1 FROM readings
-- error v: 1:8 the parameter `$1` is not possible: a view has none
--  fix: write the value itself; the pipeline file can fill in `${NAME}`

SELECT id FROM readings UNION ALL SELECT id, value FROM readings
-- error v: 1:25 the two sides of `UNION ALL` have different numbers of columns
--  fix: give both the same columns, in the same order

SELECT id FROM readings UNION ALL SELECT place FROM readings
-- error v: 1:42 the sides of `UNION ALL` do not fit: `place` is int64 before and struct("x": float64, "y": float64) here
--  fix: cast one side: `CAST(… AS …)`

SELECT tags[1], tags['x'] FROM readings
-- error v: 1:17 `tags['x']` cannot be computed: cannot access field at argument 1: type list(string) is not Struct, Map, or Null

SELECT id[1] FROM readings
-- error v: 1:8 `id[1]` cannot be computed: array_element does not support type int64
--  fix: call it as `array_element(array, index)`

SELECT unnest(id) FROM readings
-- error v: 1:8 `unnest(id)` cannot be computed: unnest() can only be applied to array, struct and null

SELECT date_trunc('fortnight', ts) FROM readings
-- error v: 1:8 `date_trunc('fortnight', ts)` cannot be computed: unsupported date_trunc granularity: `fortnight`. Supported values are: microsecond, millisecond, second, minute, hour, day, week, month, quarter, year

SELECT date_trunc(ts) FROM readings
-- error v: 1:8 `date_trunc(ts)` cannot be computed: `date_trunc` expects 2 arguments but received 1
--  fix: call it as `date_trunc(string, Timestamp)` or `date_trunc(string, Time)`

SELECT id FROM readings WHERE sensorId LIKE 5
-- error v: 1:31 `sensorId LIKE 5` cannot be computed: there isn't a common type to coerce string and int64 in LIKE expression

SELECT id FROM readings WHERE regexp_like(sensorId, '(')
-- error v: 1:31 `regexp_like(sensorId, '(')` cannot be computed: regex parse error: ( ^ error: unclosed group

SELECT CASE WHEN id THEN 1 END FROM readings
-- columns case Int64?
-- plan scan readings (id)
-- plan   project CASE WHEN CAST(id AS bool) THEN 1 END AS case
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT CASE id WHEN 1 THEN 'a' ELSE 2 END AS c FROM readings
-- columns c Utf8
-- plan scan readings (id)
-- plan   project CASE id WHEN 1 THEN 'a' ELSE '2' END AS c
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT x.id FROM readings
-- error v: 1:8 `x.id` names no table in `FROM`
--  fix: known: `readings`

SELECT r.id FROM readings AS r WHERE readings.id = 1
-- error v: 1:38 `readings.id` names no table in `FROM`
--  fix: known: `r`

SELECT extract(foo FROM ts) FROM readings
-- error v: 1:25 `EXTRACT(foo FROM ts)` cannot be computed: date part `foo` not supported

SELECT 1/0 AS x FROM readings
-- error v: 1:8 `1 / 0` cannot be computed: division by zero

SELECT INTERVAL '5 foos' AS x FROM readings
-- error v: 1:17 `INTERVAL '5 foos'` cannot be computed: invalid input syntax for type interval: "5 foos"

SELECT CAST('x' AS INT) AS x FROM readings
-- error v: 1:13 `CAST('x' AS INT)` cannot be computed: cannot cast string `x` to value of int32 type

SELECT * EXCEPT (nope) FROM readings
-- error v: 1:18 there is no column `nope`
--  fix: known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`

SELECT to_timestamp('hello') AS t FROM readings
-- error v: 1:8 `to_timestamp('hello')` cannot be computed: error parsing timestamp from `hello`: timestamp must contain at least 10 characters

SELECT coalesce() FROM readings
-- error v: 1:8 `coalesce()` cannot be computed: `coalesce`: coalesce must have at least one argument

SELECT id BETWEEN 'a' AND 3 AS x FROM readings
-- error v: 1:8 `id BETWEEN 'a' AND 3` cannot be computed: cannot cast string `a` to value of int64 type

SELECT id IN (1, 'a', place) AS x FROM readings
-- error v: 1:8 `id IN (1, 'a', place)` cannot be computed: can not find compatible types to compare int64 with [int64, string, struct("x": float64, "y": float64)]

SELECT sum(1, 2) FILTER (WHERE ok) FROM readings
-- error v: 1:8 `sum` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(readings, …, INTERVAL '1 minute') GROUP BY window_start, window_end, …`

SELECT make_date(1, 2) AS x FROM readings
-- error v: 1:8 `make_date(1, 2)` cannot be computed: `make_date` expects 3 arguments but received 2
--  fix: call it as `make_date(int32, int32, int32)`

SELECT readings FROM readings
-- error v: 1:8 there is no column `readings`
--  fix: known: `id`, `sensorId`, `value`, `ts`, `tags`, `place`, `doc`, `ok`

SELECT `id` FROM readings
-- columns id Int64?
-- plan scan readings (id)
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT "id", 'x' "y z" FROM readings
-- columns id Int64?, y z Utf8
-- plan scan readings (id)
-- plan   project id, 'x' AS y z
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT 99999999999999999999999999999 AS x, 1e999 AS y FROM readings
-- columns x Float64, y Float64
-- plan scan readings ()
-- plan   project 1e29 AS x, inf AS y
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0

SELECT * FROM readings ORDER BY value DESC LIMIT 10
-- error v: 1:24 `ORDER BY … LIMIT` is not possible: an endless stream has no last row to sort before
--  fix: for the best of each key, or of all, number them: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`

SELECT id, regexp_extract(sensorId, '(') AS x FROM readings
-- error v: 1:12 the pattern `(` cannot be read: unclosed group
--  fix: mend the pattern; `\` stands before a character that is to be taken as it is: `\(`

SELECT id, regexp_extract(sensorId, 'a(b)', 2) AS x FROM readings
-- error v: 1:12 the pattern `a(b)` has no group 2: it has 1
--  fix: name a group of the pattern: 0 is all of the match, 1 what is in its first `(…)`

SELECT id FROM readings WHERE regexp_extract(sensorId, 'a', -1) IS NOT NULL
-- error v: 1:62 the pattern `a` has no group -1: it has 0
--  fix: name a group of the pattern: 0 is all of the match, 1 what is in its first `(…)`
