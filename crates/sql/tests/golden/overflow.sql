-- input t {"id":"int64","big":"int64","x":"float64","s":"string"}
-- {"id":0,"big":9223372036854775807,"x":1.5,"s":"1"}
-- {"id":1,"big":-9223372036854775808,"x":-1e20,"s":"b"}
-- {"id":2,"big":7,"x":2,"s":null}
-- {"id":3,"big":null,"x":null,"s":"9"}

-- A whole number beyond its range does not come out as another: its row is set aside.
SELECT id, big + 1 AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, big + 1 AS y
-- row 0/0/1 {"id":1,"y":-9223372036854775807}
-- row 0/0/2 {"id":2,"y":8}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/0 overflow happened on: 9223372036854775807 + 1
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id, big - 1 AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, big - 1 AS y
-- row 0/0/0 {"id":0,"y":9223372036854775806}
-- row 0/0/2 {"id":2,"y":6}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 overflow happened on: -9223372036854775808 - 1
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id, big * big AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, big * big AS y
-- row 0/0/2 {"id":2,"y":49}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/0 overflow happened on: 9223372036854775807 * 9223372036854775807
-- refused 0/0/1 overflow happened on: -9223372036854775808 * -9223372036854775808
-- account in 4 + made 0 = out 2 + filtered 0 + set aside 2

SELECT id, -big AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, -big AS y
-- row 0/0/0 {"id":0,"y":-9223372036854775807}
-- row 0/0/2 {"id":2,"y":-7}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 overflow happened on: - -9223372036854775808
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id, big / -1 AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, big / -1 AS y
-- row 0/0/0 {"id":0,"y":-9223372036854775807}
-- row 0/0/2 {"id":2,"y":-7}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 overflow happened on: -9223372036854775808 / -1
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id, abs(big) AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, abs(big) AS y
-- row 0/0/0 {"id":0,"y":9223372036854775807}
-- row 0/0/2 {"id":2,"y":7}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 overflow happened on abs(-9223372036854775808)
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

-- The type decides, not the value.
SELECT id, CAST(id AS int) * CAST(2000000000 AS int) AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id)
-- plan   project id, CAST(CAST(id AS int32) * 2000000000 AS int64) AS y
-- row 0/0/0 {"id":0,"y":0}
-- row 0/0/1 {"id":1,"y":2000000000}
-- refused 0/0/2 overflow happened on: 2 * 2000000000
-- refused 0/0/3 overflow happened on: 3 * 2000000000
-- account in 4 + made 0 = out 2 + filtered 0 + set aside 2

SELECT id, CAST(id AS smallint) * CAST(20000 AS smallint) AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id)
-- plan   project id, CAST(CAST(id AS Int16) * 20000 AS int64) AS y
-- row 0/0/0 {"id":0,"y":0}
-- row 0/0/1 {"id":1,"y":20000}
-- refused 0/0/2 overflow happened on: 2 * 20000
-- refused 0/0/3 overflow happened on: 3 * 20000
-- account in 4 + made 0 = out 2 + filtered 0 + set aside 2

SELECT id, to_timestamp(x * 1e9) AS y FROM t
-- columns id Int64?, y Timestamp(µs, "UTC")?
-- plan scan t (id, x)
-- plan   project id, CAST(to_timestamp(x * 1000000000.0) AS timestamp) AS y
-- row 0/0/0 {"id":0,"y":"2017-07-14T02:40:00Z"}
-- row 0/0/2 {"id":2,"y":"2033-05-18T03:33:20Z"}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 -100000000000000000000000000000 seconds are beyond the range of a timestamp
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id FROM t WHERE big + 1 > 0
-- columns id Int64?
-- plan scan t (id, big)
-- plan   filter (big + 1) > 0
-- plan   project id
-- row 0/0/2 {"id":2}
-- refused 0/0/0 overflow happened on: 9223372036854775807 + 1
-- account in 4 + made 0 = out 1 + filtered 2 + set aside 1

SELECT id, CASE WHEN big > 100 THEN 0 ELSE big * 2 END AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, big)
-- plan   project id, CASE WHEN big > 100 THEN 0 ELSE big * 2 END AS y
-- row 0/0/0 {"id":0,"y":0}
-- row 0/0/2 {"id":2,"y":14}
-- row 0/0/3 {"id":3,"y":null}
-- refused 0/0/1 overflow happened on: -9223372036854775808 * 2
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

-- Of constants it is said before the start.
SELECT id, 9223372036854775807 + 1 AS y, 2 * (4611686018427387904 + id) AS z FROM t
-- error v: 1:12 `9223372036854775807 + 1` cannot be computed: overflow happened on: 9223372036854775807 + 1

SELECT id, -9223372036854775808 AS y FROM t
-- columns id Int64?, y Int64
-- plan scan t (id)
-- plan   project id, -9223372036854775808 AS y
-- row 0/0/0 {"id":0,"y":-9223372036854775808}
-- row 0/0/1 {"id":1,"y":-9223372036854775808}
-- row 0/0/2 {"id":2,"y":-9223372036854775808}
-- row 0/0/3 {"id":3,"y":-9223372036854775808}
-- account in 4 + made 0 = out 4 + filtered 0 + set aside 0

-- A cast that some rows may pass is no error before the start, whatever the text has before it.
SELECT id, CAST(concat('a', s) AS bigint) AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, s)
-- plan   project id, CAST(concat('a', s) AS int64) AS y
-- refused 0/0/0 cannot cast string `a1` to value of int64 type
-- refused 0/0/1 cannot cast string `ab` to value of int64 type
-- refused 0/0/2 cannot cast string `a` to value of int64 type
-- refused 0/0/3 cannot cast string `a9` to value of int64 type
-- account in 4 + made 0 = out 0 + filtered 0 + set aside 4

SELECT id, CAST(concat('1', s) AS bigint) AS y FROM t
-- columns id Int64?, y Int64?
-- plan scan t (id, s)
-- plan   project id, CAST(concat('1', s) AS int64) AS y
-- row 0/0/0 {"id":0,"y":11}
-- row 0/0/2 {"id":2,"y":1}
-- row 0/0/3 {"id":3,"y":19}
-- refused 0/0/1 cannot cast string `1b` to value of int64 type
-- account in 4 + made 0 = out 3 + filtered 0 + set aside 1

SELECT id, to_date(concat('2026-01-0', s), '%Y-%m-%d') AS y FROM t
-- columns id Int64?, y Date32?
-- plan scan t (id, s)
-- plan   project id, to_date(concat('2026-01-0', s), '%Y-%m-%d') AS y
-- row 0/0/0 {"id":0,"y":"2026-01-01"}
-- row 0/0/3 {"id":3,"y":"2026-01-09"}
-- refused 0/0/1 error parsing timestamp from `2026-01-0b` using format `%Y-%m-%d`: input is out of range
-- refused 0/0/2 error parsing timestamp from `2026-01-0` using format `%Y-%m-%d`: input is out of range
-- account in 4 + made 0 = out 2 + filtered 0 + set aside 2

SELECT id, date_trunc('fortnight', to_timestamp(id)) AS y FROM t
-- error v: 1:12 `date_trunc('fortnight', to_timestamp(id))` cannot be computed: unsupported date_trunc granularity: `fortnight`. Supported values are: microsecond, millisecond, second, minute, hour, day, week, month, quarter, year

SELECT id, CAST('a' AS bigint) AS y FROM t
-- error v: 1:17 `CAST('a' AS BIGINT)` cannot be computed: cannot cast string `a` to value of int64 type

SELECT CAST(s AS datetime) AS y FROM t
-- error v: 1:13 there is no type `DATETIME`
--  fix: did you mean TIMESTAMP? known: BIGINT, INT, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP, DATE, TIME, INTERVAL, DECIMAL(p, s), BYTEA
