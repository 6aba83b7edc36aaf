-- input readings {"id":"int64","sensor":"string","value":"float64","n":"int64","state":"string","ts":"timestamp"} time ts delay 5000000
-- {"id":1,"sensor":"a","value":5,"n":1,"state":"on","ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"sensor":"b","value":50,"n":10,"state":"on","ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"sensor":"a","value":11,"n":2,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- {"id":4,"sensor":"a","value":1,"n":null,"state":"off","ts":"2026-01-01T00:00:03Z"}
-- next
-- {"id":5,"sensor":"a","value":null,"n":4,"state":null,"ts":"2026-01-01T00:00:10Z"}
-- {"id":6,"sensor":"b","value":7,"n":20,"state":"off","ts":"2026-01-01T00:00:06Z"}
-- {"id":7,"sensor":"a","value":3,"n":5,"state":"on","ts":"2026-01-01T00:00:10Z"}
-- {"id":8,"sensor":"a","value":4,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- next
-- {"id":9,"sensor":null,"value":2,"n":7,"state":"on","ts":"2026-01-01T00:00:11Z"}
-- {"id":10,"sensor":"c","value":2,"n":8,"state":"on","ts":null}
-- {"id":11,"sensor":null,"value":6,"n":9,"state":"off","ts":"2026-01-01T00:00:12Z"}
-- {"id":12,"sensor":"a","value":8,"n":10,"state":"off","ts":"2026-01-01T00:00:30Z"}
-- {"id":13,"sensor":"b","value":9,"n":30,"state":"off","ts":"2026-01-01T00:00:26Z"}

-- A moving average of three rows, the change since the last one, and the change of state.
SELECT id, sensor, avg(value) OVER w AS mean, value - lag(value) OVER w AS change, lag(state, 1, 'none') OVER w AS before FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS 2 PRECEDING)
-- columns id Int64?, sensor Utf8?, mean Float64?, change Float64?, before Utf8?
-- plan scan readings (id, sensor, value, state, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute avg(value) over ROWS 2 PRECEDING, lag(value), lag(state, 1, 'none')
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sensor, avg(value) over ROWS 2 PRECEDING AS mean, value - lag(value) AS change, lag(state, 1, 'none') AS before
-- row 1/-/0 {"id":1,"sensor":"a","mean":5.0,"change":null,"before":"none"}
-- row 1/-/1 {"id":2,"sensor":"b","mean":50.0,"change":null,"before":"none"}
-- row 1/-/2 {"id":4,"sensor":"a","mean":3.0,"change":-4.0,"before":"on"}
-- row 1/-/3 {"id":3,"sensor":"a","mean":5.666666666666667,"change":10.0,"before":"off"}
-- row 2/-/0 {"id":6,"sensor":"b","mean":28.5,"change":-43.0,"before":"on"}
-- row 2/-/1 {"id":5,"sensor":"a","mean":6.0,"change":null,"before":"on"}
-- row 2/-/2 {"id":7,"sensor":"a","mean":7.0,"change":null,"before":null}
-- row 2/-/3 {"id":9,"sensor":null,"mean":2.0,"change":null,"before":"none"}
-- row 2/-/4 {"id":11,"sensor":null,"mean":4.0,"change":4.0,"before":"on"}
-- row 3/-/0 {"id":13,"sensor":"b","mean":22.0,"change":2.0,"before":"off"}
-- row 3/-/1 {"id":12,"sensor":"a","mean":5.5,"change":5.0,"before":"on"}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- Rows of one moment have one frame.
SELECT id, sensor, ts, sum(n) OVER (PARTITION BY sensor ORDER BY ts) AS total, count(*) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '6 seconds' PRECEDING) AS near, count(value) OVER (PARTITION BY sensor ORDER BY ts RANGE BETWEEN INTERVAL '6 seconds' PRECEDING AND CURRENT ROW) AS values FROM readings
-- columns id Int64?, sensor Utf8?, ts Timestamp(µs, "UTC")?, total Int64?, near Int64, values Int64
-- plan scan readings (id, sensor, value, n, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute sum(n) over RANGE UNBOUNDED PRECEDING, count(*) over RANGE 6 seconds PRECEDING, count(value) over RANGE 6 seconds PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sensor, ts, sum(n) over RANGE UNBOUNDED PRECEDING AS total, count(*) over RANGE 6 seconds PRECEDING AS near, count(value) over RANGE 6 seconds PRECEDING AS values
-- row 1/-/0 {"id":1,"sensor":"a","ts":"2026-01-01T00:00:01Z","total":1,"near":1,"values":1}
-- row 1/-/1 {"id":2,"sensor":"b","ts":"2026-01-01T00:00:02Z","total":10,"near":1,"values":1}
-- row 1/-/2 {"id":4,"sensor":"a","ts":"2026-01-01T00:00:03Z","total":1,"near":2,"values":2}
-- row 1/-/3 {"id":3,"sensor":"a","ts":"2026-01-01T00:00:04Z","total":3,"near":3,"values":3}
-- row 2/-/0 {"id":6,"sensor":"b","ts":"2026-01-01T00:00:06Z","total":30,"near":2,"values":2}
-- row 2/-/1 {"id":5,"sensor":"a","ts":"2026-01-01T00:00:10Z","total":12,"near":3,"values":2}
-- row 2/-/2 {"id":7,"sensor":"a","ts":"2026-01-01T00:00:10Z","total":12,"near":3,"values":2}
-- row 2/-/3 {"id":9,"sensor":null,"ts":"2026-01-01T00:00:11Z","total":7,"near":1,"values":1}
-- row 2/-/4 {"id":11,"sensor":null,"ts":"2026-01-01T00:00:12Z","total":16,"near":2,"values":2}
-- row 3/-/0 {"id":13,"sensor":"b","ts":"2026-01-01T00:00:26Z","total":60,"near":1,"values":1}
-- row 3/-/1 {"id":12,"sensor":"a","ts":"2026-01-01T00:00:30Z","total":22,"near":1,"values":1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

SELECT id, row_number() OVER w AS number, rank() OVER w AS rank, dense_rank() OVER w AS dense, rank() OVER (PARTITION BY sensor ORDER BY ts, id DESC) AS strict FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)
-- columns id Int64?, number Int64, rank Int64, dense Int64, strict Int64
-- plan scan readings (id, sensor, ts)
-- plan over 1: by sensor, in the order of ts, id DESC
-- plan   compute rank()
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan over 2: by sensor, in the order of ts
-- plan   compute row_number(), rank(), dense_rank()
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 2
-- plan   project id, CAST(row_number() AS int64) AS number, CAST(rank() AS int64) AS rank, CAST(dense_rank() AS int64) AS dense, CAST(rank() AS int64) AS strict
-- row 1/-/0 {"id":1,"number":1,"rank":1,"dense":1,"strict":1}
-- row 1/-/1 {"id":2,"number":1,"rank":1,"dense":1,"strict":1}
-- row 1/-/2 {"id":4,"number":2,"rank":2,"dense":2,"strict":2}
-- row 1/-/3 {"id":3,"number":3,"rank":3,"dense":3,"strict":3}
-- row 2/-/0 {"id":6,"number":2,"rank":2,"dense":2,"strict":2}
-- row 2/-/1 {"id":7,"number":4,"rank":4,"dense":4,"strict":4}
-- row 2/-/2 {"id":5,"number":5,"rank":4,"dense":4,"strict":5}
-- row 2/-/3 {"id":9,"number":1,"rank":1,"dense":1,"strict":1}
-- row 2/-/4 {"id":11,"number":2,"rank":2,"dense":2,"strict":2}
-- row 3/-/0 {"id":13,"number":3,"rank":3,"dense":3,"strict":3}
-- row 3/-/1 {"id":12,"number":6,"rank":6,"dense":5,"strict":6}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 22 = out 11 + filtered 0 + set aside 1 + absorbed 22 + late 1

SELECT id, first_value(value) OVER w AS first, last_value(value) OVER w AS last, nth_value(id, 2) OVER w AS second, first_value(state) IGNORE NULLS OVER w AS known, last_value(state) IGNORE NULLS OVER (PARTITION BY sensor ORDER BY ts, id) AS filled, lag(value) IGNORE NULLS OVER w AS valid FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
-- columns id Int64?, first Float64?, last Float64?, second Int64?, known Utf8?, filled Utf8?, valid Float64?
-- plan scan readings (id, sensor, value, state, ts)
-- plan over 1: by sensor, in the order of ts, id
-- plan   compute first_value(value) over ROWS 2 PRECEDING, last_value(value) over ROWS 2 PRECEDING, nth_value(id, 2) over ROWS 2 PRECEDING, first_value(state) IGNORE NULLS over ROWS 2 PRECEDING, last_value(state) IGNORE NULLS over RANGE UNBOUNDED PRECEDING, lag(value) IGNORE NULLS
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, first_value(value) over ROWS 2 PRECEDING AS first, last_value(value) over ROWS 2 PRECEDING AS last, nth_value(id, 2) over ROWS 2 PRECEDING AS second, first_value(state) IGNORE NULLS over ROWS 2 PRECEDING AS known, last_value(state) IGNORE NULLS over RANGE UNBOUNDED PRECEDING AS filled, lag(value) IGNORE NULLS AS valid
-- row 1/-/0 {"id":1,"first":5.0,"last":5.0,"second":null,"known":"on","filled":"on","valid":null}
-- row 1/-/1 {"id":2,"first":50.0,"last":50.0,"second":null,"known":"on","filled":"on","valid":null}
-- row 1/-/2 {"id":4,"first":5.0,"last":1.0,"second":4,"known":"on","filled":"off","valid":5.0}
-- row 1/-/3 {"id":3,"first":5.0,"last":11.0,"second":4,"known":"on","filled":"on","valid":1.0}
-- row 2/-/0 {"id":6,"first":50.0,"last":7.0,"second":6,"known":"on","filled":"off","valid":50.0}
-- row 2/-/1 {"id":5,"first":1.0,"last":null,"second":3,"known":"off","filled":"on","valid":11.0}
-- row 2/-/2 {"id":7,"first":11.0,"last":3.0,"second":5,"known":"on","filled":"on","valid":11.0}
-- row 2/-/3 {"id":9,"first":2.0,"last":2.0,"second":null,"known":"on","filled":"on","valid":null}
-- row 2/-/4 {"id":11,"first":2.0,"last":6.0,"second":11,"known":"on","filled":"off","valid":2.0}
-- row 3/-/0 {"id":13,"first":50.0,"last":9.0,"second":6,"known":"on","filled":"off","valid":7.0}
-- row 3/-/1 {"id":12,"first":null,"last":8.0,"second":7,"known":"on","filled":"off","valid":3.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- A frame may end before the row, and be empty.
SELECT id, avg(value) OVER (PARTITION BY sensor ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS mean, count(*) OVER (PARTITION BY sensor ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND INTERVAL '5 seconds' PRECEDING) AS earlier FROM readings
-- columns id Int64?, mean Float64?, earlier Int64
-- plan scan readings (id, sensor, value, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute avg(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING, count(*) over RANGE BETWEEN 10 seconds PRECEDING AND 5 seconds PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, avg(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING AS mean, count(*) over RANGE BETWEEN 10 seconds PRECEDING AND 5 seconds PRECEDING AS earlier
-- row 1/-/0 {"id":1,"mean":null,"earlier":0}
-- row 1/-/1 {"id":2,"mean":null,"earlier":0}
-- row 1/-/2 {"id":4,"mean":5.0,"earlier":0}
-- row 1/-/3 {"id":3,"mean":3.0,"earlier":0}
-- row 2/-/0 {"id":6,"mean":50.0,"earlier":0}
-- row 2/-/1 {"id":5,"mean":5.666666666666667,"earlier":3}
-- row 2/-/2 {"id":7,"mean":6.0,"earlier":3}
-- row 2/-/3 {"id":9,"mean":null,"earlier":0}
-- row 2/-/4 {"id":11,"mean":2.0,"earlier":0}
-- row 3/-/0 {"id":13,"mean":28.5,"earlier":0}
-- row 3/-/1 {"id":12,"mean":7.0,"earlier":0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- z-scores of the three rows before.
SELECT id, sensor, (value - mean) / deviation AS z FROM (SELECT *, avg(value) OVER w AS mean, stddev(value) OVER w AS deviation FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)) WHERE deviation > 0
-- columns id Int64?, sensor Utf8?, z Float64?
-- plan scan readings (id, sensor, value, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute avg(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING, stddev(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sensor, value, avg(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING, stddev(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING
-- plan   filter stddev(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING > 0.0
-- plan   project id, sensor, (value - avg(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) / stddev(value) over ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING AS z
-- row 1/-/0 {"id":3,"sensor":"a","z":2.82842712474619}
-- row 2/-/0 {"id":5,"sensor":"a","z":null}
-- row 2/-/1 {"id":7,"sensor":"a","z":-0.4242640687119285}
-- row 3/-/0 {"id":13,"sensor":"b","z":-0.64132940619245}
-- row 3/-/1 {"id":12,"sensor":"a","z":0.17677669529663687}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 5 + filtered 6 + set aside 1 + absorbed 11 + late 1

-- Rates: by how much `n` grows in a second.
SELECT id, sensor, CAST(n - lag(n) OVER w AS DOUBLE) / nullif(date_part('epoch', ts) - date_part('epoch', lag(ts) OVER w), 0) AS rate FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)
-- columns id Int64?, sensor Utf8?, rate Float64?
-- plan scan readings (id, sensor, n, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute lag(n), lag(ts)
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sensor, CAST(n - lag(n) AS float64) / nullif(date_part('epoch', ts) - date_part('epoch', lag(ts)), 0.0) AS rate
-- row 1/-/0 {"id":1,"sensor":"a","rate":null}
-- row 1/-/1 {"id":2,"sensor":"b","rate":null}
-- row 1/-/2 {"id":4,"sensor":"a","rate":null}
-- row 1/-/3 {"id":3,"sensor":"a","rate":null}
-- row 2/-/0 {"id":6,"sensor":"b","rate":2.5}
-- row 2/-/1 {"id":5,"sensor":"a","rate":0.3333333333333333}
-- row 2/-/2 {"id":7,"sensor":"a","rate":null}
-- row 2/-/3 {"id":9,"sensor":null,"rate":null}
-- row 2/-/4 {"id":11,"sensor":null,"rate":2.0}
-- row 3/-/0 {"id":13,"sensor":"b","rate":0.5}
-- row 3/-/1 {"id":12,"sensor":"a","rate":0.25}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

SELECT id, count(*) FILTER (WHERE state = 'on') OVER w AS on, sum(n) FILTER (WHERE value > 4) OVER w AS large, max(value) OVER w AS peak, min(state) OVER w AS least, median(value) OVER w AS middle FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS 2 PRECEDING)
-- columns id Int64?, on Int64, large Int64?, peak Float64?, least Utf8?, middle Float64?
-- plan scan readings (id, sensor, value, n, state, ts)
-- plan   compute state = 'on', value > 4.0
-- plan over 1: by sensor, in the order of ts
-- plan   compute count(*) FILTER (WHERE state = 'on') over ROWS 2 PRECEDING, sum(n) FILTER (WHERE value > 4.0) over ROWS 2 PRECEDING, max(value) over ROWS 2 PRECEDING, min(state) over ROWS 2 PRECEDING, median(value) over ROWS 2 PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, count(*) FILTER (WHERE state = 'on') over ROWS 2 PRECEDING AS on, sum(n) FILTER (WHERE value > 4.0) over ROWS 2 PRECEDING AS large, max(value) over ROWS 2 PRECEDING AS peak, min(state) over ROWS 2 PRECEDING AS least, median(value) over ROWS 2 PRECEDING AS middle
-- row 1/-/0 {"id":1,"on":1,"large":1,"peak":5.0,"least":"on","middle":5.0}
-- row 1/-/1 {"id":2,"on":1,"large":10,"peak":50.0,"least":"on","middle":50.0}
-- row 1/-/2 {"id":4,"on":1,"large":1,"peak":5.0,"least":"off","middle":3.0}
-- row 1/-/3 {"id":3,"on":2,"large":3,"peak":11.0,"least":"off","middle":5.0}
-- row 2/-/0 {"id":6,"on":1,"large":30,"peak":50.0,"least":"off","middle":28.5}
-- row 2/-/1 {"id":5,"on":1,"large":2,"peak":11.0,"least":"off","middle":6.0}
-- row 2/-/2 {"id":7,"on":2,"large":2,"peak":11.0,"least":"on","middle":7.0}
-- row 2/-/3 {"id":9,"on":1,"large":null,"peak":2.0,"least":"on","middle":2.0}
-- row 2/-/4 {"id":11,"on":1,"large":9,"peak":6.0,"least":"off","middle":4.0}
-- row 3/-/0 {"id":13,"on":1,"large":60,"peak":50.0,"least":"off","middle":9.0}
-- row 3/-/1 {"id":12,"on":1,"large":10,"peak":8.0,"least":"off","middle":5.5}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- What is kept of all rows, in the library's own form.
SELECT id, median(value) OVER w AS middle, count(DISTINCT state) OVER w AS states, array_agg(id) OVER w AS all FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)
-- columns id Int64?, middle Float64?, states Int64, all List(Int64)?
-- plan scan readings (id, sensor, value, state, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute median(value) over RANGE UNBOUNDED PRECEDING, count(DISTINCT state) over RANGE UNBOUNDED PRECEDING, array_agg(id) over RANGE UNBOUNDED PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, median(value) over RANGE UNBOUNDED PRECEDING AS middle, count(DISTINCT state) over RANGE UNBOUNDED PRECEDING AS states, array_agg(id) over RANGE UNBOUNDED PRECEDING AS all
-- row 1/-/0 {"id":1,"middle":5.0,"states":1,"all":[1]}
-- row 1/-/1 {"id":2,"middle":50.0,"states":1,"all":[2]}
-- row 1/-/2 {"id":4,"middle":3.0,"states":2,"all":[1,4]}
-- row 1/-/3 {"id":3,"middle":5.0,"states":2,"all":[1,4,3]}
-- row 2/-/0 {"id":6,"middle":28.5,"states":2,"all":[2,6]}
-- row 2/-/1 {"id":5,"middle":4.0,"states":2,"all":[1,4,3,5,7]}
-- row 2/-/2 {"id":7,"middle":4.0,"states":2,"all":[1,4,3,5,7]}
-- row 2/-/3 {"id":9,"middle":2.0,"states":1,"all":[9]}
-- row 2/-/4 {"id":11,"middle":4.0,"states":2,"all":[9,11]}
-- row 3/-/0 {"id":13,"middle":9.0,"states":2,"all":[2,6,13]}
-- row 3/-/1 {"id":12,"middle":5.0,"states":2,"all":[1,4,3,5,7,12]}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- Without a key all rows are in one order; keys and arguments are computed before.
SELECT id, sum(n + 1) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) AS total, max(value * 2) OVER (PARTITION BY upper(sensor), id % 2 ORDER BY ts) AS peak FROM readings
-- columns id Int64?, total Int64?, peak Float64?
-- plan scan readings (id, sensor, value, n, ts)
-- plan   compute upper(sensor), id % 2, value * 2.0
-- plan over 1: by upper(sensor), id % 2, in the order of ts
-- plan   compute max(value * 2.0) over RANGE UNBOUNDED PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, n, ts, max(value * 2.0) over RANGE UNBOUNDED PRECEDING
-- plan   compute n + 1
-- plan over 2: in the order of ts
-- plan   compute sum(n + 1) over ROWS UNBOUNDED PRECEDING
-- plan   keep rows until event time has passed them, and a state for ever, 1 GiB at most (`state_bytes`)
-- plan rows of over 2
-- plan   project id, sum(n + 1) over ROWS UNBOUNDED PRECEDING AS total, max(value * 2.0) over RANGE UNBOUNDED PRECEDING AS peak
-- row 1/-/0 {"id":1,"total":2,"peak":10.0}
-- row 1/-/1 {"id":2,"total":13,"peak":100.0}
-- row 1/-/2 {"id":4,"total":13,"peak":2.0}
-- row 1/-/3 {"id":3,"total":16,"peak":22.0}
-- row 2/-/0 {"id":6,"total":37,"peak":100.0}
-- row 2/-/1 {"id":5,"total":42,"peak":22.0}
-- row 2/-/2 {"id":7,"total":48,"peak":22.0}
-- row 2/-/3 {"id":9,"total":56,"peak":4.0}
-- row 2/-/4 {"id":11,"total":66,"peak":12.0}
-- row 3/-/0 {"id":13,"total":97,"peak":18.0}
-- row 3/-/1 {"id":12,"total":108,"peak":16.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 22 = out 11 + filtered 0 + set aside 1 + absorbed 22 + late 1

-- Over rows that windows give.
SELECT window_end, sensor, n, n - lag(n) OVER (PARTITION BY sensor ORDER BY window_end) AS change FROM (SELECT window_end, sensor, count(*) AS n FROM TUMBLE(readings, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, sensor)
-- columns window_end Timestamp(µs, "UTC"), sensor Utf8?, n Int64, change Int64?
-- plan scan readings (sensor, ts)
-- plan   project sensor, window_start, window_end
-- plan window 1: TUMBLE of 5 seconds of ts, by sensor
-- plan   compute count(*)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, sensor, count(*) AS n
-- plan over 2: by sensor, in the order of window_end
-- plan   compute lag(n)
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 2
-- plan   project window_end, sensor, n, n - lag(n) AS change
-- row 2/-/0 {"window_end":"2026-01-01T00:00:05Z","sensor":"a","n":3,"change":null}
-- row 2/-/1 {"window_end":"2026-01-01T00:00:05Z","sensor":"b","n":1,"change":null}
-- row 2/-/2 {"window_end":"2026-01-01T00:00:10Z","sensor":"b","n":1,"change":0}
-- row 2/-/3 {"window_end":"2026-01-01T00:00:15Z","sensor":null,"n":2,"change":null}
-- row 2/-/4 {"window_end":"2026-01-01T00:00:15Z","sensor":"a","n":2,"change":-1}
-- row 3/-/0 {"window_end":"2026-01-01T00:00:30Z","sensor":"b","n":1,"change":0}
-- row 3/-/1 {"window_end":"2026-01-01T00:00:35Z","sensor":"a","n":1,"change":-1}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it belongs to no window
-- account in 13 + made 14 = out 7 + filtered 0 + set aside 1 + absorbed 18 + late 1

-- And windows over what comes out, here of the same table's windows.
SELECT window_end, sensor, count(*) AS n, sum(change) AS change FROM (SELECT *, value - lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS change FROM TUMBLE(readings, ts, INTERVAL '5 seconds')) GROUP BY window_start, window_end, sensor
-- columns window_end Timestamp(µs, "UTC"), sensor Utf8?, n Int64, change Float64?
-- plan scan readings (sensor, value, ts)
-- plan   add the columns of TUMBLE of 5 seconds of ts
-- plan   project sensor, value, ts, window_start, window_end
-- plan over 1: by sensor, in the order of ts
-- plan   compute lag(value)
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project sensor, window_start, window_end, value - lag(value) AS change
-- plan   compute sensor, event time, change
-- plan window 2: the windows that rows came out of, by sensor
-- plan   compute count(*), sum(change)
-- plan   keep a state for each window and key until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 2
-- plan   project window_end, sensor, count(*) AS n, sum(change) AS change
-- row 1/-/0 {"window_end":"2026-01-01T00:00:05Z","sensor":"a","n":3,"change":6.0}
-- row 1/-/1 {"window_end":"2026-01-01T00:00:05Z","sensor":"b","n":1,"change":null}
-- row 2/-/0 {"window_end":"2026-01-01T00:00:10Z","sensor":"b","n":1,"change":-43.0}
-- row 2/-/1 {"window_end":"2026-01-01T00:00:15Z","sensor":null,"n":2,"change":4.0}
-- row 2/-/2 {"window_end":"2026-01-01T00:00:15Z","sensor":"a","n":2,"change":null}
-- row 3/-/0 {"window_end":"2026-01-01T00:00:30Z","sensor":"b","n":1,"change":2.0}
-- row 3/-/1 {"window_end":"2026-01-01T00:00:35Z","sensor":"a","n":1,"change":5.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it belongs to no window
-- account in 13 + made 18 = out 7 + filtered 0 + set aside 1 + absorbed 22 + late 1

-- view changes
SELECT *, value - lag(value) OVER (PARTITION BY sensor ORDER BY ts) AS change FROM readings
-- view v
SELECT window_end, max(change) AS most FROM TUMBLE(changes, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end
-- columns window_end Timestamp(µs, "UTC"), most Float64?
-- plan scan changes (ts, change)
-- plan   project change, window_start, window_end
-- plan window 1: TUMBLE of 10 seconds of ts
-- plan   compute max(change)
-- plan   keep a state for each window until event time has passed the window's end, 1 GiB at most (`state_bytes`)
-- plan rows of window 1
-- plan   project window_end, max(change) AS most
-- row 2/-/0 {"window_end":"2026-01-01T00:00:10Z","most":10.0}
-- row 2/-/1 {"window_end":"2026-01-01T00:00:20Z","most":4.0}
-- row 3/-/0 {"window_end":"2026-01-01T00:00:30Z","most":2.0}
-- row 3/-/1 {"window_end":"2026-01-01T00:00:40Z","most":5.0}
-- account in 11 + made 4 = out 4 + filtered 0 + set aside 0 + absorbed 11 + late 0

-- view v late stream
SELECT id, avg(value) OVER (ORDER BY ts ROWS 1 PRECEDING) AS mean FROM readings WHERE sensor <> 'b'
-- columns id Int64?, mean Float64?
-- plan scan readings (id, sensor, value, ts)
-- plan   filter sensor != 'b'
-- plan   project id, value, ts
-- plan over 1: in the order of ts
-- plan   compute avg(value) over ROWS 1 PRECEDING
-- plan   keep rows until event time has passed them, and a state for ever, 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, avg(value) over ROWS 1 PRECEDING AS mean
-- late rows have id, sensor, value, n, state, ts
-- row 1/-/0 {"id":1,"mean":5.0}
-- row 1/-/1 {"id":4,"mean":3.0}
-- row 1/-/2 {"id":3,"mean":6.0}
-- row 2/-/0 {"id":5,"mean":11.0}
-- row 2/-/1 {"id":7,"mean":3.0}
-- row 3/-/0 {"id":12,"mean":5.5}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 6 = out 6 + filtered 5 + set aside 1 + absorbed 6 + late 1

-- view v ttl 7000000
SELECT id, sensor, count(*) OVER w AS n, lag(value) OVER w AS before FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY ts)
-- columns id Int64?, sensor Utf8?, n Int64, before Float64?
-- plan scan readings (id, sensor, value, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute count(*) over RANGE UNBOUNDED PRECEDING, lag(value)
-- plan   keep rows until event time has passed them, and a state for each key until it was silent for 7 seconds (`state_ttl`), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sensor, count(*) over RANGE UNBOUNDED PRECEDING AS n, lag(value) AS before
-- row 1/-/0 {"id":1,"sensor":"a","n":1,"before":null}
-- row 1/-/1 {"id":2,"sensor":"b","n":1,"before":null}
-- row 1/-/2 {"id":4,"sensor":"a","n":2,"before":5.0}
-- row 1/-/3 {"id":3,"sensor":"a","n":3,"before":1.0}
-- row 2/-/0 {"id":6,"sensor":"b","n":2,"before":50.0}
-- row 2/-/1 {"id":5,"sensor":"a","n":5,"before":11.0}
-- row 2/-/2 {"id":7,"sensor":"a","n":5,"before":null}
-- row 2/-/3 {"id":9,"sensor":null,"n":1,"before":null}
-- row 2/-/4 {"id":11,"sensor":null,"n":2,"before":2.0}
-- row 3/-/0 {"id":13,"sensor":"b","n":1,"before":null}
-- row 3/-/1 {"id":12,"sensor":"a","n":1,"before":null}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- Each row is in two windows, and numbered in each.
SELECT window_start, id, row_number() OVER (PARTITION BY window_start, sensor ORDER BY ts) AS number FROM HOP(readings, ts, INTERVAL '5 seconds', INTERVAL '10 seconds')
-- columns window_start Timestamp(µs, "UTC"), id Int64?, number Int64
-- plan scan readings (id, sensor, ts)
-- plan   add the columns of HOP of 10 seconds every 5 seconds of ts
-- plan   project id, sensor, ts, window_start
-- plan over 1: by window_start, sensor, in the order of ts
-- plan   compute row_number()
-- plan   keep rows until event time has passed them, and a state for each key until event time has passed it, 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project window_start, id, CAST(row_number() AS int64) AS number
-- row 1/-/0 {"window_start":"2025-12-31T23:59:55Z","id":1,"number":1}
-- row 1/-/1 {"window_start":"2026-01-01T00:00:00Z","id":1,"number":1}
-- row 1/-/2 {"window_start":"2025-12-31T23:59:55Z","id":2,"number":1}
-- row 1/-/3 {"window_start":"2026-01-01T00:00:00Z","id":2,"number":1}
-- row 1/-/4 {"window_start":"2025-12-31T23:59:55Z","id":4,"number":2}
-- row 1/-/5 {"window_start":"2026-01-01T00:00:00Z","id":4,"number":2}
-- row 1/-/6 {"window_start":"2025-12-31T23:59:55Z","id":3,"number":3}
-- row 1/-/7 {"window_start":"2026-01-01T00:00:00Z","id":3,"number":3}
-- row 2/-/0 {"window_start":"2026-01-01T00:00:00Z","id":6,"number":2}
-- row 2/-/1 {"window_start":"2026-01-01T00:00:05Z","id":6,"number":1}
-- row 2/-/2 {"window_start":"2026-01-01T00:00:05Z","id":5,"number":1}
-- row 2/-/3 {"window_start":"2026-01-01T00:00:10Z","id":5,"number":1}
-- row 2/-/4 {"window_start":"2026-01-01T00:00:05Z","id":7,"number":2}
-- row 2/-/5 {"window_start":"2026-01-01T00:00:10Z","id":7,"number":2}
-- row 2/-/6 {"window_start":"2026-01-01T00:00:05Z","id":9,"number":1}
-- row 2/-/7 {"window_start":"2026-01-01T00:00:10Z","id":9,"number":1}
-- row 2/-/8 {"window_start":"2026-01-01T00:00:05Z","id":11,"number":2}
-- row 2/-/9 {"window_start":"2026-01-01T00:00:10Z","id":11,"number":2}
-- row 3/-/0 {"window_start":"2026-01-01T00:00:20Z","id":13,"number":1}
-- row 3/-/1 {"window_start":"2026-01-01T00:00:25Z","id":13,"number":1}
-- row 3/-/2 {"window_start":"2026-01-01T00:00:25Z","id":12,"number":1}
-- row 3/-/3 {"window_start":"2026-01-01T00:00:30Z","id":12,"number":1}
-- late 1/0/3 {"id":8,"sensor":"a","ts":"2026-01-01T00:00:04Z","window_start":"2025-12-31T23:59:55Z"}
-- late 1/0/3 {"id":8,"sensor":"a","ts":"2026-01-01T00:00:04Z","window_start":"2026-01-01T00:00:00Z"}
-- refused 2/0/1 its event time is null, so that it belongs to no window
-- account in 13 + made 34 = out 22 + filtered 0 + set aside 1 + absorbed 22 + late 2

SELECT id, row_number() OVER (PARTITION BY sensor ORDER BY ts) AS number FROM readings QUALIFY number % 2 = 1
-- columns id Int64?, number Int64
-- plan scan readings (id, sensor, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute row_number()
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, row_number()
-- plan   filter (CAST(row_number() AS Decimal128(20, 0)) % 2) = 1
-- plan   project id, CAST(row_number() AS int64) AS number
-- row 1/-/0 {"id":1,"number":1}
-- row 1/-/1 {"id":2,"number":1}
-- row 1/-/2 {"id":3,"number":3}
-- row 2/-/0 {"id":7,"number":5}
-- row 2/-/1 {"id":9,"number":1}
-- row 3/-/0 {"id":13,"number":3}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 6 + filtered 5 + set aside 1 + absorbed 11 + late 1

-- As the page has it.
SELECT ts, sensor, value,
       value - lag(value) OVER w AS change,
       avg(value) OVER (PARTITION BY sensor ORDER BY ts ROWS 9 PRECEDING) AS mean_of_ten,
       max(value) OVER (PARTITION BY sensor ORDER BY ts RANGE INTERVAL '5 minutes' PRECEDING) AS peak
FROM readings
WINDOW w AS (PARTITION BY sensor ORDER BY ts)
-- columns ts Timestamp(µs, "UTC")?, sensor Utf8?, value Float64?, change Float64?, mean_of_ten Float64?, peak Float64?
-- plan scan readings (sensor, value, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute lag(value), avg(value) over ROWS 9 PRECEDING, max(value) over RANGE 5 minutes PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project ts, sensor, value, value - lag(value) AS change, avg(value) over ROWS 9 PRECEDING AS mean_of_ten, max(value) over RANGE 5 minutes PRECEDING AS peak
-- row 1/-/0 {"ts":"2026-01-01T00:00:01Z","sensor":"a","value":5.0,"change":null,"mean_of_ten":5.0,"peak":5.0}
-- row 1/-/1 {"ts":"2026-01-01T00:00:02Z","sensor":"b","value":50.0,"change":null,"mean_of_ten":50.0,"peak":50.0}
-- row 1/-/2 {"ts":"2026-01-01T00:00:03Z","sensor":"a","value":1.0,"change":-4.0,"mean_of_ten":3.0,"peak":5.0}
-- row 1/-/3 {"ts":"2026-01-01T00:00:04Z","sensor":"a","value":11.0,"change":10.0,"mean_of_ten":5.666666666666667,"peak":11.0}
-- row 2/-/0 {"ts":"2026-01-01T00:00:06Z","sensor":"b","value":7.0,"change":-43.0,"mean_of_ten":28.5,"peak":50.0}
-- row 2/-/1 {"ts":"2026-01-01T00:00:10Z","sensor":"a","value":null,"change":null,"mean_of_ten":5.666666666666667,"peak":11.0}
-- row 2/-/2 {"ts":"2026-01-01T00:00:10Z","sensor":"a","value":3.0,"change":null,"mean_of_ten":5.0,"peak":11.0}
-- row 2/-/3 {"ts":"2026-01-01T00:00:11Z","sensor":null,"value":2.0,"change":null,"mean_of_ten":2.0,"peak":2.0}
-- row 2/-/4 {"ts":"2026-01-01T00:00:12Z","sensor":null,"value":6.0,"change":4.0,"mean_of_ten":4.0,"peak":6.0}
-- row 3/-/0 {"ts":"2026-01-01T00:00:26Z","sensor":"b","value":9.0,"change":2.0,"mean_of_ten":22.0,"peak":50.0}
-- row 3/-/1 {"ts":"2026-01-01T00:00:30Z","sensor":"a","value":8.0,"change":5.0,"mean_of_ten":5.6,"peak":11.0}
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 11 + filtered 0 + set aside 1 + absorbed 11 + late 1

-- As the page has it.
SELECT ts, sensor, value, (value - mean) / deviation AS z
FROM (SELECT *, avg(value) OVER w AS mean, stddev(value) OVER w AS deviation
      FROM readings
      WINDOW w AS (PARTITION BY sensor ORDER BY ts ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING))
WHERE deviation > 0 AND abs(value - mean) > 4 * deviation
-- columns ts Timestamp(µs, "UTC")?, sensor Utf8?, value Float64?, z Float64?
-- plan scan readings (sensor, value, ts)
-- plan over 1: by sensor, in the order of ts
-- plan   compute avg(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING, stddev(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   filter (stddev(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING > 0.0) AND (abs(value - avg(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING) > (4.0 * stddev(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING))
-- plan   project ts, sensor, value, (value - avg(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING) / stddev(value) over ROWS BETWEEN 100 PRECEDING AND 1 PRECEDING AS z
-- late 1/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- refused 2/0/1 its event time is null, so that it has no place in the order of rows
-- account in 13 + made 11 = out 0 + filtered 11 + set aside 1 + absorbed 11 + late 1

-- input large {"id":"int64","n":"int64","d":"int64","ts":"timestamp"} time ts delay 0
-- {"id":1,"n":9223372036854775807,"d":1,"ts":"2026-01-01T00:00:01Z"}
-- {"id":2,"n":1,"d":0,"ts":"2026-01-01T00:00:02Z"}
-- {"id":3,"n":5,"d":1,"ts":"2026-01-01T00:00:03Z"}
-- {"id":4,"n":-9,"d":1,"ts":"2026-01-01T00:00:04Z"}

-- A sum that does not fit is told of its row alone; so is what cannot be computed before.
SELECT id, sum(n) OVER (ORDER BY ts ROWS 1 PRECEDING) AS total, sum(n / d) OVER (ORDER BY ts ROWS 2 PRECEDING) AS parts FROM large
-- columns id Int64?, total Int64?, parts Int64?
-- plan scan large (id, n, d, ts)
-- plan   compute n / d
-- plan over 1: in the order of ts
-- plan   compute sum(n) over ROWS 1 PRECEDING, sum(n / d) over ROWS 2 PRECEDING
-- plan   keep rows until event time has passed them, and a state for ever, 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, sum(n) over ROWS 1 PRECEDING AS total, sum(n / d) over ROWS 2 PRECEDING AS parts
-- row 1/-/0 {"id":1,"total":9223372036854775807,"parts":9223372036854775807}
-- row 5/-/0 {"id":4,"total":-4,"parts":9223372036854775803}
-- refused 1/0/1 division by zero
-- refused 0/-/1 a sum over its frame overflows
-- account in 4 + made 3 = out 2 + filtered 0 + set aside 2 + absorbed 3 + late 0

-- What `QUALIFY` asks of a window with a name.
SELECT id FROM readings WHERE ts IS NOT NULL WINDOW w AS (PARTITION BY sensor ORDER BY ts) QUALIFY count(*) OVER w > 2
-- columns id Int64?
-- plan scan readings (id, sensor, ts)
-- plan   filter ts IS NOT NULL
-- plan over 1: by sensor, in the order of ts
-- plan   compute count(*) over RANGE UNBOUNDED PRECEDING
-- plan   keep rows until event time has passed them, and a state for each key for ever (`state_ttl` would bound it), 1 GiB at most (`state_bytes`)
-- plan rows of over 1
-- plan   project id, count(*) over RANGE UNBOUNDED PRECEDING
-- plan   filter count(*) over RANGE UNBOUNDED PRECEDING > 2
-- plan   project id
-- row 2/-/0 {"id":3}
-- row 3/-/0 {"id":5}
-- row 3/-/1 {"id":7}
-- row 4/-/0 {"id":13}
-- row 4/-/1 {"id":12}
-- late 2/0/3 {"id":8,"sensor":"a","value":4.0,"n":6,"state":"on","ts":"2026-01-01T00:00:04Z"}
-- account in 13 + made 11 = out 5 + filtered 7 + set aside 0 + absorbed 11 + late 1
