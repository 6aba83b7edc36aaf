-- input a {"id":"int64","v":"float64","sensorId":"string"}
-- {"id":1,"v":1.5,"sensorId":"x"}
-- {"id":2,"v":null,"sensorId":"y"}
-- {"id":3,"v":3.5,"sensorId":null}

-- input b {"id":"int64","v":"int64","name":"string","ts":"timestamp"}
-- {"id":10,"v":7,"name":"n","ts":"2026-11-23T05:00:00Z"}
-- {"id":11,"v":null,"name":null,"ts":null}

-- Two inputs, one operator; types are made to agree.
SELECT id, v, sensorId AS name FROM a UNION ALL SELECT id, v, name FROM b WHERE id > 10
-- columns id Int64?, v Float64?, name Utf8?
-- plan scan a (id, v, sensorId)
-- plan   project id, v, sensorId AS name
-- plan scan b (id, v, name)
-- plan   filter id > 10
-- plan   project id, CAST(v AS float64) AS v, name
-- row 0/0/0 {"id":1,"v":1.5,"name":"x"}
-- row 0/0/1 {"id":2,"v":null,"name":"y"}
-- row 0/0/2 {"id":3,"v":3.5,"name":null}
-- row 1/0/1 {"id":11,"v":null,"name":null}
-- account in 5 + made 0 = out 4 + filtered 1 + set aside 0

-- One input twice is two ports.
SELECT id, 'low' AS kind FROM a WHERE id < 3 UNION ALL SELECT id, 'high' AS kind FROM a WHERE id > 1
-- columns id Int64?, kind Utf8
-- plan scan a (id)
-- plan   filter id < 3
-- plan   project id, 'low' AS kind
-- plan scan a (id)
-- plan   filter id > 1
-- plan   project id, 'high' AS kind
-- row 0/0/0 {"id":1,"kind":"low"}
-- row 0/0/1 {"id":2,"kind":"low"}
-- row 0/0/1 {"id":2,"kind":"high"}
-- row 0/0/2 {"id":3,"kind":"high"}
-- account in 6 + made 0 = out 4 + filtered 2 + set aside 0

SELECT x FROM (SELECT id AS x FROM a UNION ALL SELECT id FROM b UNION ALL SELECT 0 - id FROM a) WHERE x > 1
-- columns x Int64?
-- plan scan a (id)
-- plan   filter id > 1
-- plan   project id AS x
-- plan scan b (id)
-- plan   filter id > 1
-- plan   project id AS x
-- plan scan a (id)
-- plan   filter (0 - id) > 1
-- plan   project 0 - id AS x
-- row 0/0/1 {"x":2}
-- row 0/0/2 {"x":3}
-- row 1/0/0 {"x":10}
-- row 1/0/1 {"x":11}
-- account in 8 + made 0 = out 4 + filtered 4 + set aside 0

WITH hot AS (SELECT id, v * 2 AS w FROM a WHERE v > 1), hotter AS (SELECT * FROM hot WHERE w > 4) SELECT id, w FROM hotter
-- columns id Int64?, w Float64?
-- plan scan a (id, v)
-- plan   filter (v > 1.0) AND ((v * 2.0) > 4.0)
-- plan   project id, v * 2.0 AS w
-- row 0/0/2 {"id":3,"w":7.0}
-- account in 3 + made 0 = out 1 + filtered 2 + set aside 0

-- view one
SELECT id, v + 1 AS w FROM a
-- view two
SELECT id, w * 10 AS w FROM one WHERE w > 3
-- view three
SELECT id FROM one UNION ALL SELECT id FROM two
-- columns id Int64?
-- plan scan one (id)
-- plan scan two (id)
-- row 0/0/0 {"id":1}
-- row 0/0/1 {"id":2}
-- row 0/0/2 {"id":3}
-- row 0/0/2 {"id":3}
-- account in 4 + made 0 = out 4 + filtered 0 + set aside 0

-- Names as written, in any case if only one fits.
SELECT sensorid, A.SENSORID AS again, "sensorId" AS quoted FROM a AS A
-- columns sensorId Utf8?, again Utf8?, quoted Utf8?
-- plan scan a (sensorId)
-- plan   project sensorId, sensorId AS again, sensorId AS quoted
-- row 0/0/0 {"sensorId":"x","again":"x","quoted":"x"}
-- row 0/0/1 {"sensorId":"y","again":"y","quoted":"y"}
-- row 0/0/2 {"sensorId":null,"again":null,"quoted":null}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

SELECT * EXCEPT (v), CASE WHEN v > 2 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END AS size FROM a
-- columns id Int64?, sensorId Utf8?, size Utf8
-- plan scan a (id, v, sensorId)
-- plan   project id, sensorId, CASE WHEN v > 2.0 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END AS size
-- row 0/0/0 {"id":1,"sensorId":"x","size":"small"}
-- row 0/0/1 {"id":2,"sensorId":"y","size":"none"}
-- row 0/0/2 {"id":3,"sensorId":null,"size":"big"}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

SELECT id, v AS "two words", upper(sensorId), v + 1, CAST(v AS INT), -v FROM a
-- columns id Int64?, two words Float64?, upper Utf8?, v + 1 Float64?, v Int64?, -v Float64?
-- plan scan a (id, v, sensorId)
-- plan   project id, v AS two words, upper(sensorId) AS upper, v + 1.0 AS v + 1, CAST(CAST(v AS int32) AS int64) AS v, -v AS -v
-- row 0/0/0 {"id":1,"two words":1.5,"upper":"X","v + 1":2.5,"v":1,"-v":-1.5}
-- row 0/0/1 {"id":2,"two words":null,"upper":"Y","v + 1":null,"v":null,"-v":null}
-- row 0/0/2 {"id":3,"two words":3.5,"upper":null,"v + 1":4.5,"v":3,"-v":-3.5}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

SELECT coalesce(v, 0) AS v, nullif(id, 2) AS n, greatest(id, v) AS g, id BETWEEN 2 AND 3 AS mid, id IN (1, 3) AS odd FROM a
-- columns v Float64, n Int64?, g Float64?, mid Boolean?, odd Boolean?
-- plan scan a (id, v)
-- plan   project CASE WHEN v IS NOT NULL THEN v ELSE 0.0 END AS v, nullif(id, 2) AS n, greatest(CAST(id AS float64), v) AS g, (id >= 2) AND (id <= 3) AS mid, (id = 1) OR (id = 3) AS odd
-- row 0/0/0 {"v":1.5,"n":1,"g":1.5,"mid":false,"odd":true}
-- row 0/0/1 {"v":0.0,"n":null,"g":2.0,"mid":true,"odd":false}
-- row 0/0/2 {"v":3.5,"n":3,"g":3.5,"mid":true,"odd":true}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

-- Conditions that cannot fail where the guard holds.
SELECT id, CASE WHEN id <> 2 THEN 6 / (id - 2) END AS q FROM a WHERE id <> 2 OR 1 / (id - 2) > 0
-- columns id Int64?, q Int64?
-- plan scan a (id)
-- plan   filter (id != 2) OR ((1 / (id - 2)) > 0)
-- plan   project id, CASE WHEN id != 2 THEN 6 / (id - 2) END AS q
-- row 0/0/0 {"id":1,"q":-6}
-- row 0/0/2 {"id":3,"q":6}
-- refused 0/0/1 division by zero
-- account in 3 + made 0 = out 2 + filtered 0 + set aside 1

-- Moments of every kind come out in microseconds, UTC.
SELECT ts, ts + INTERVAL '1 hour' AS later, date_trunc('hour', ts) AS hour, to_timestamp('2026-01-01T00:00:00Z') AS t, date_bin(INTERVAL '15 minutes', ts) AS bin, CAST(ts AS DATE) AS day, extract(epoch FROM ts) AS s, to_char(ts, '%Y') AS y, ts > TIMESTAMP '2026-01-01' AS after, arrow_cast(ts, 'Timestamp(Second, None)') AS secs FROM b
-- columns ts Timestamp(µs, "UTC")?, later Timestamp(µs, "UTC")?, hour Timestamp(µs, "UTC")?, t Timestamp(µs, "UTC"), bin Timestamp(µs, "UTC")?, day Date32?, s Float64?, y Utf8?, after Boolean?, secs Timestamp(µs, "UTC")?
-- plan scan b (ts)
-- plan   project CAST(ts AS Timestamp(ns, "UTC")) AS #1, ts
-- plan   project ts, ts + INTERVAL '1 hour' AS later, date_trunc('hour', ts) AS hour, TIMESTAMP '2026-01-01T00:00:00Z' AS t, date_bin(INTERVAL '15 minutes', #1) AS bin, CAST(ts AS date) AS day, date_part('EPOCH', ts) AS s, to_char(#1, '%Y') AS y, ts > TIMESTAMP '2026-01-01T00:00:00Z' AS after, CAST(CAST(ts AS Timestamp(s)) AS timestamp) AS secs
-- row 1/0/0 {"ts":"2026-11-23T05:00:00Z","later":"2026-11-23T06:00:00Z","hour":"2026-11-23T05:00:00Z","t":"2026-01-01T00:00:00Z","bin":"2026-11-23T05:00:00Z","day":"2026-11-23","s":1795410000.0,"y":"2026","after":true,"secs":"2026-11-23T05:00:00Z"}
-- row 1/0/1 {"ts":null,"later":null,"hour":null,"t":"2026-01-01T00:00:00Z","bin":null,"day":null,"s":null,"y":null,"after":null,"secs":null}
-- account in 2 + made 0 = out 2 + filtered 0 + set aside 0

SELECT md5(name) AS md5, encode(name, 'hex') AS hex, sha256(name) AS sha, regexp_replace(name, 'n', 'm') AS re, character_length(name) AS len, lpad(name, 3, '.') AS pad, split_part('a,b', ',', 2) AS part, concat(name, '!') AS c, name || '?' AS d, left(name, 1) AS l, substr('hello', 2, 3) AS sub, strpos('abc', 'c') AS pos FROM b
-- columns md5 Utf8?, hex Utf8?, sha Binary?, re Utf8?, len Int64?, pad Utf8?, part Utf8, c Utf8?, d Utf8?, l Utf8?, sub Utf8, pos Int64
-- plan scan b (name)
-- plan   project CAST(md5(name) AS string) AS md5, encode(CAST(name AS BinaryView), 'hex') AS hex, sha256(name) AS sha, regexp_replace(name, 'n', 'm') AS re, CAST(character_length(name) AS int64) AS len, lpad(name, 3, '.') AS pad, 'b' AS part, concat(name, '!') AS c, name || '?' AS d, left(name, 1) AS l, 'ell' AS sub, 3 AS pos
-- row 1/0/0 {"md5":"7b8b965ad4bca0e41ab51de7b31363a1","hex":"6e","sha":"1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9","re":"m","len":1,"pad":"..n","part":"b","c":"n!","d":"n?","l":"n","sub":"ell","pos":3}
-- row 1/0/1 {"md5":null,"hex":null,"sha":null,"re":null,"len":null,"pad":null,"part":"b","c":"!","d":null,"l":null,"sub":"ell","pos":3}
-- account in 2 + made 0 = out 2 + filtered 0 + set aside 0

SELECT make_array(id, v) AS arr, struct(id, name) AS st, named_struct('k', id) AS ns, map(['a'], [id]) AS m, [1, 2] AS lit, array_contains([10, 11], id) AS has FROM b
-- columns arr List(Int64)?, st Struct("c0": Int64, "c1": Utf8)?, ns Struct("k": Int64)?, m Map("entries": non-null Struct("key": non-null Utf8, "value": Int64), unsorted)?, lit List(Int64), has Boolean?
-- plan scan b (id, v, name)
-- plan   project make_array(id, v) AS arr, struct(id, name) AS st, named_struct('k', id) AS ns, map([a], make_array(id)) AS m, [1, 2] AS lit, (id = 10) OR (id = 11) AS has
-- row 1/0/0 {"arr":[10,7],"st":{"c0":10,"c1":"n"},"ns":{"k":10},"m":{"a":10},"lit":[1,2],"has":true}
-- row 1/0/1 {"arr":[11,null],"st":{"c0":11,"c1":null},"ns":{"k":11},"m":{"a":11},"lit":[1,2],"has":true}
-- account in 2 + made 0 = out 2 + filtered 0 + set aside 0

SELECT v::varchar AS text, TRY_CAST(name AS INT) AS n, CAST(id AS DECIMAL(10, 2)) AS d, id % 2 AS m, power(2, v) AS p, round(1.256, 2) AS r, 7 / 2 AS i, 7 / 2.0 AS f, name LIKE 'n%' AS lk, name ILIKE 'N' AS il, name ~ '^n' AS rx FROM b
-- columns text Utf8?, n Int64?, d Decimal128(10, 2)?, m Int64?, p Float64?, r Float64, i Int64, f Float64, lk Boolean?, il Boolean?, rx Boolean?
-- plan scan b (id, v, name)
-- plan   project name LIKE 'n%' AS #1, id, v, name
-- plan   project CAST(v AS string) AS text, CAST(TRY_CAST(name AS int32) AS int64) AS n, CAST(id AS Decimal128(10, 2)) AS d, id % 2 AS m, power(2.0, CAST(v AS float64)) AS p, 1.26 AS r, 3 AS i, 3.5 AS f, #1 AS lk, name ILIKE 'N' AS il, #1 AS rx
-- row 1/0/0 {"text":"7","n":null,"d":10.00,"m":0,"p":128.0,"r":1.26,"i":3,"f":3.5,"lk":true,"il":true,"rx":true}
-- row 1/0/1 {"text":null,"n":null,"d":11.00,"m":1,"p":null,"r":1.26,"i":3,"f":3.5,"lk":null,"il":null,"rx":null}
-- account in 2 + made 0 = out 2 + filtered 0 + set aside 0

SELECT id AS "now", now() - INTERVAL '1 day' AS yesterday, current_time AS t, date_part('year', now()) AS y FROM a WHERE now() > TIMESTAMP '2020-01-01'
-- columns now Int64?, yesterday Timestamp(µs, "UTC"), t Time64(µs), y Int64
-- plan scan a (id)
-- plan   filter now() > TIMESTAMP '2020-01-01T00:00:00Z'
-- plan   project id AS now, now() - INTERVAL '1 day' AS yesterday, current_time() AS t, CAST(date_part('year', now()) AS int64) AS y
-- row 0/0/0 {"now":1,"yesterday":"2026-09-20T14:13:20Z","t":"14:13:20","y":2026}
-- row 0/0/1 {"now":2,"yesterday":"2026-09-20T14:13:20Z","t":"14:13:20","y":2026}
-- row 0/0/2 {"now":3,"yesterday":"2026-09-20T14:13:20Z","t":"14:13:20","y":2026}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

-- What fails in a filter is set aside too.
SELECT id FROM a WHERE 6 / (id - 2) > 0
-- columns id Int64?
-- plan scan a (id)
-- plan   filter (6 / (id - 2)) > 0
-- row 0/0/2 {"id":3}
-- refused 0/0/1 division by zero
-- account in 3 + made 0 = out 1 + filtered 1 + set aside 1

SELECT id FROM a WHERE false
-- columns id Int64?
-- plan scan a (id)
-- plan   filter false
-- account in 3 + made 0 = out 0 + filtered 3 + set aside 0

SELECT id FROM a WHERE true
-- columns id Int64?
-- plan scan a (id)
-- plan   filter true
-- row 0/0/0 {"id":1}
-- row 0/0/1 {"id":2}
-- row 0/0/2 {"id":3}
-- account in 3 + made 0 = out 3 + filtered 0 + set aside 0

-- A view over one that fails is left out.
-- view one
SELECT nope FROM a
-- view two
SELECT id FROM one
-- error one: 1:8 there is no column `nope`
--  fix: known: `id`, `v`, `sensorId`

-- Circles.
-- view one
SELECT id FROM two
-- view two
SELECT id FROM one
-- error one: views read each other in a circle: `one` reads `two` reads `one`
--  fix: let one of them read a source instead
-- error two: views read each other in a circle: `two` reads `one` reads `two`
--  fix: let one of them read a source instead

-- view one
SELECT id FROM one
-- error one: 1:16 views read each other in a circle: `one` reads `one`
--  fix: let one of them read a source instead

-- view a
SELECT id FROM b
-- error a: there is a source called `a` already
--  fix: give the view another name

-- view one
SELECT id FROM a
-- view one
SELECT id FROM b
-- error one: there is a view called `one` already
--  fix: give the view another name
