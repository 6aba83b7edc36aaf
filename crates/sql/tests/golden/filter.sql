-- input readings {"id":"int64","sensor":"string","value":"float64","ts":"timestamp"}
-- {"id":1,"sensor":"a","value":101.5,"ts":"2026-11-23T05:00:00Z"}
-- {"id":2,"sensor":"b","value":99.0,"ts":"2026-11-23T05:00:01.25Z"}
-- {"id":3,"sensor":"a","value":null,"ts":"2026-11-23T05:00:02Z"}
-- {"id":4,"sensor":null,"value":250.0,"ts":null}
-- {"id":5,"sensor":"12","value":1e300,"ts":"1969-12-31T23:59:59Z"}

-- A row passes when the predicate is true; null is not true.
SELECT id, sensor, value, ts FROM readings WHERE value > 100
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?
-- plan scan readings (id, sensor, value, ts)
-- plan   filter value > 100.0
-- row 0/0/0 {"id":1,"sensor":"a","value":101.5,"ts":"2026-11-23T05:00:00Z"}
-- row 0/0/3 {"id":4,"sensor":null,"value":250.0,"ts":null}
-- row 0/0/4 {"id":5,"sensor":"12","value":1.0e300,"ts":"1969-12-31T23:59:59Z"}
-- account in 5 + made 0 = out 3 + filtered 2 + set aside 0

-- All rows pass uncopied.
SELECT * FROM readings WHERE id > 0
-- columns id Int64?, sensor Utf8?, value Float64?, ts Timestamp(µs, "UTC")?
-- plan scan readings (id, sensor, value, ts)
-- plan   filter id > 0
-- row 0/0/0 {"id":1,"sensor":"a","value":101.5,"ts":"2026-11-23T05:00:00Z"}
-- row 0/0/1 {"id":2,"sensor":"b","value":99.0,"ts":"2026-11-23T05:00:01.250Z"}
-- row 0/0/2 {"id":3,"sensor":"a","value":null,"ts":"2026-11-23T05:00:02Z"}
-- row 0/0/3 {"id":4,"sensor":null,"value":250.0,"ts":null}
-- row 0/0/4 {"id":5,"sensor":"12","value":1.0e300,"ts":"1969-12-31T23:59:59Z"}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

-- None pass.
SELECT id FROM readings WHERE id < 0
-- columns id Int64?
-- plan scan readings (id)
-- plan   filter id < 0
-- account in 5 + made 0 = out 0 + filtered 5 + set aside 0

-- Only the columns that are asked for are read.
SELECT sensor FROM readings
-- columns sensor Utf8?
-- plan scan readings (sensor)
-- row 0/0/0 {"sensor":"a"}
-- row 0/0/1 {"sensor":"b"}
-- row 0/0/2 {"sensor":"a"}
-- row 0/0/3 {"sensor":null}
-- row 0/0/4 {"sensor":"12"}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

-- What has nothing to do with the columns.
SELECT 1 AS one, 'x' AS x FROM readings
-- columns one Int64, x Utf8
-- plan scan readings ()
-- plan   project 1 AS one, 'x' AS x
-- row 0/0/0 {"one":1,"x":"x"}
-- row 0/0/1 {"one":1,"x":"x"}
-- row 0/0/2 {"one":1,"x":"x"}
-- row 0/0/3 {"one":1,"x":"x"}
-- row 0/0/4 {"one":1,"x":"x"}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

-- One row cannot be cast, and only that is set aside.
SELECT id, CAST(sensor AS INT) AS n FROM readings WHERE id > 3
-- columns id Int64?, n Int64?
-- plan scan readings (id, sensor)
-- plan   filter id > 3
-- plan   project id, CAST(CAST(sensor AS int32) AS int64) AS n
-- row 0/0/3 {"id":4,"n":null}
-- row 0/0/4 {"id":5,"n":12}
-- account in 5 + made 0 = out 2 + filtered 3 + set aside 0

-- Division by zero.
SELECT id, 10 / (id - 3) AS n FROM readings
-- columns id Int64?, n Int64?
-- plan scan readings (id)
-- plan   project id, 10 / (id - 3) AS n
-- row 0/0/0 {"id":1,"n":-5}
-- row 0/0/1 {"id":2,"n":-10}
-- row 0/0/3 {"id":4,"n":10}
-- row 0/0/4 {"id":5,"n":5}
-- refused 0/0/2 division by zero
-- account in 5 + made 0 = out 4 + filtered 0 + set aside 1

-- view hot
SELECT id, value FROM readings WHERE value > 100
-- view hotter
SELECT id, value * 2 AS twice FROM hot WHERE value > 200
-- columns id Int64?, twice Float64?
-- plan scan hot (id, value)
-- plan   filter value > 200.0
-- plan   project id, value * 2.0 AS twice
-- row 0/0/3 {"id":4,"twice":500.0}
-- row 0/0/4 {"id":5,"twice":2.0e300}
-- account in 3 + made 0 = out 2 + filtered 1 + set aside 0

SELECT id, now() AS at, current_date AS day, current_timestamp AS ts FROM readings WHERE id = 1
-- columns id Int64?, at Timestamp(µs, "UTC"), day Date32, ts Timestamp(µs, "UTC")
-- plan scan readings (id)
-- plan   filter id = 1
-- plan   project id, now() AS at, current_date() AS day, now() AS ts
-- row 0/0/0 {"id":1,"at":"2026-09-21T14:13:20Z","day":"2026-09-21","ts":"2026-09-21T14:13:20Z"}
-- account in 5 + made 0 = out 1 + filtered 4 + set aside 0
