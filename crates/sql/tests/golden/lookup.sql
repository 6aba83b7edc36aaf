-- input readings {"id":"int64","sensor":"string","value":"float64","tags":{"list":"string"}}
-- {"id":1,"sensor":"a","value":5,"tags":["a","b"]}
-- {"id":2,"sensor":"b","value":50,"tags":["zz"]}
-- {"id":3,"sensor":"a","value":11,"tags":[]}
-- {"id":4,"sensor":null,"value":1,"tags":null}
-- {"id":5,"sensor":"gone","value":2,"tags":["b"]}
-- {"id":6,"sensor":"c","value":70,"tags":["c"]}
-- lookup devices {"name":"string","ceiling":"float64","place":"string"}
-- {"key":"a","name":"first","ceiling":10,"place":"hall"}
-- {"key":"b","name":"second","ceiling":100}
-- {"key":"c","ceiling":60,"place":"roof"}
-- {"key":"1","name":"one"}
-- lookup places {"floor":"int64"}
-- {"key":"hall","floor":0}
-- {"key":"roof","floor":9}
-- lookup odd {"ceiling":"float64"}
-- {"key":"a","ceiling":1}
-- {"key":"b","unfit":true}
-- lookup calm {"ceiling":"float64"} nulls
-- {"key":"a","ceiling":1}
-- {"key":"b","unfit":true}

SELECT r.id, d.name, r.value > d.ceiling AS over FROM readings r LEFT JOIN devices d ON d.key = r.sensor
-- columns id Int64?, name Utf8?, over Boolean?
-- plan scan readings (id, sensor, value)
-- plan   lookup devices (name, ceiling) by sensor
-- plan   project id, name, value > ceiling AS over
-- row 0/0/0 {"id":1,"name":"first","over":false}
-- row 0/0/1 {"id":2,"name":"second","over":false}
-- row 0/0/2 {"id":3,"name":"first","over":true}
-- row 0/0/3 {"id":4,"name":null,"over":null}
-- row 0/0/4 {"id":5,"name":null,"over":null}
-- row 0/0/5 {"id":6,"name":null,"over":true}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

-- Only the columns that are read are asked for; the key may stand on either side.
SELECT id, ceiling FROM readings LEFT OUTER JOIN devices ON (readings.sensor = devices.key)
-- columns id Int64?, ceiling Float64?
-- plan scan readings (id, sensor)
-- plan   lookup devices (ceiling) by sensor
-- plan   project id, ceiling
-- row 0/0/0 {"id":1,"ceiling":10.0}
-- row 0/0/1 {"id":2,"ceiling":100.0}
-- row 0/0/2 {"id":3,"ceiling":10.0}
-- row 0/0/3 {"id":4,"ceiling":null}
-- row 0/0/4 {"id":5,"ceiling":null}
-- row 0/0/5 {"id":6,"ceiling":60.0}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT * FROM readings r JOIN devices d ON r.sensor = d.key
-- columns id Int64?, sensor Utf8?, value Float64?, tags List(Utf8)?, key Utf8, name Utf8?, ceiling Float64?, place Utf8?
-- plan scan readings (id, sensor, value, tags)
-- plan   lookup devices (name, ceiling, place) by sensor; rows without an answer are left out
-- row 0/0/0 {"id":1,"sensor":"a","value":5.0,"tags":["a","b"],"key":"a","name":"first","ceiling":10.0,"place":"hall"}
-- row 0/0/1 {"id":2,"sensor":"b","value":50.0,"tags":["zz"],"key":"b","name":"second","ceiling":100.0,"place":null}
-- row 0/0/2 {"id":3,"sensor":"a","value":11.0,"tags":[],"key":"a","name":"first","ceiling":10.0,"place":"hall"}
-- row 0/0/5 {"id":6,"sensor":"c","value":70.0,"tags":["c"],"key":"c","name":null,"ceiling":60.0,"place":"roof"}
-- account in 6 + made 0 = out 4 + filtered 2 + set aside 0

-- What is not read at all is not asked for.
SELECT r.id FROM readings r LEFT JOIN devices d ON d.key = r.sensor
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   lookup devices: nothing of it is read, so it is not asked
-- plan   project id
-- row 0/0/0 {"id":1}
-- row 0/0/1 {"id":2}
-- row 0/0/2 {"id":3}
-- row 0/0/3 {"id":4}
-- row 0/0/4 {"id":5}
-- row 0/0/5 {"id":6}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

-- An inner join asks even so.
SELECT r.id FROM readings r INNER JOIN devices d ON d.key = r.sensor
-- columns id Int64?
-- plan scan readings (id, sensor)
-- plan   lookup devices () by sensor; rows without an answer are left out
-- plan   project id
-- row 0/0/0 {"id":1}
-- row 0/0/1 {"id":2}
-- row 0/0/2 {"id":3}
-- row 0/0/5 {"id":6}
-- account in 6 + made 0 = out 4 + filtered 2 + set aside 0

-- Whole numbers are keys as they are written.
SELECT r.id, d.key, d.name FROM readings r LEFT JOIN devices d ON d.key = r.id
-- columns id Int64?, key Utf8?, name Utf8?
-- plan scan readings (id)
-- plan   lookup devices (name) by id
-- plan   project id, key, name
-- row 0/0/0 {"id":1,"key":"1","name":"one"}
-- row 0/0/1 {"id":2,"key":null,"name":null}
-- row 0/0/2 {"id":3,"key":null,"name":null}
-- row 0/0/3 {"id":4,"key":null,"name":null}
-- row 0/0/4 {"id":5,"key":null,"name":null}
-- row 0/0/5 {"id":6,"key":null,"name":null}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.key = lower(r.sensor || '') WHERE r.value > 2 AND (d.ceiling < 100 OR d.key IS NULL)
-- columns id Int64?, name Utf8?
-- plan scan readings (id, sensor, value)
-- plan   filter value > 2.0
-- plan   project id, sensor
-- plan   lookup devices (name, ceiling) by lower(sensor || '')
-- plan   project id, key, name, ceiling
-- plan   filter (ceiling < 100.0) OR key IS NULL
-- plan   project id, name
-- row 0/0/0 {"id":1,"name":"first"}
-- row 0/0/2 {"id":3,"name":"first"}
-- row 0/0/5 {"id":6,"name":null}
-- account in 6 + made 0 = out 3 + filtered 3 + set aside 0

-- A lookup by what another answered.
SELECT r.id, d.place, p.floor FROM readings r LEFT JOIN devices d ON d.key = r.sensor LEFT JOIN places p ON p.key = d.place
-- columns id Int64?, place Utf8?, floor Int64?
-- plan scan readings (id, sensor)
-- plan   lookup devices (place) by sensor
-- plan   lookup places (floor) by place
-- plan   project id, place, floor
-- row 0/0/0 {"id":1,"place":"hall","floor":0}
-- row 0/0/1 {"id":2,"place":null,"floor":null}
-- row 0/0/2 {"id":3,"place":"hall","floor":0}
-- row 0/0/3 {"id":4,"place":null,"floor":null}
-- row 0/0/4 {"id":5,"place":null,"floor":null}
-- row 0/0/5 {"id":6,"place":"roof","floor":9}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

-- One lookup twice.
SELECT r.id, a.name AS a, b.ceiling AS b FROM readings r LEFT JOIN devices a ON a.key = r.sensor LEFT JOIN devices b ON b.key = 'a'
-- columns id Int64?, a Utf8?, b Float64?
-- plan scan readings (id, sensor)
-- plan   lookup devices (name) by sensor
-- plan   lookup devices (ceiling) by 'a'
-- plan   project id, name AS a, ceiling AS b
-- row 0/0/0 {"id":1,"a":"first","b":10.0}
-- row 0/0/1 {"id":2,"a":"second","b":10.0}
-- row 0/0/2 {"id":3,"a":"first","b":10.0}
-- row 0/0/3 {"id":4,"a":null,"b":10.0}
-- row 0/0/4 {"id":5,"a":null,"b":10.0}
-- row 0/0/5 {"id":6,"a":null,"b":10.0}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

SELECT r.id, t.tag, d.name FROM readings r CROSS JOIN UNNEST(r.tags) AS t(tag) LEFT JOIN devices d ON d.key = t.tag
-- columns id Int64?, tag Utf8?, name Utf8?
-- plan scan readings (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag
-- plan   lookup devices (name) by tag
-- plan   project id, tag, name
-- row 0/0/0 {"id":1,"tag":"a","name":"first"}
-- row 0/0/0 {"id":1,"tag":"b","name":"second"}
-- row 0/0/1 {"id":2,"tag":"zz","name":null}
-- row 0/0/4 {"id":5,"tag":"b","name":"second"}
-- row 0/0/5 {"id":6,"tag":"c","name":null}
-- account in 6 + made 1 = out 5 + filtered 2 + set aside 0

-- view named
SELECT r.id, r.value, d.ceiling FROM readings r LEFT JOIN devices d ON d.key = r.sensor
-- view high
SELECT id FROM named WHERE value > "ceiling"
-- columns id Int64?
-- plan scan named (id, value, ceiling)
-- plan   filter value > ceiling
-- plan   project id
-- row 0/0/2 {"id":3}
-- row 0/0/5 {"id":6}
-- account in 6 + made 0 = out 2 + filtered 4 + set aside 0

WITH near AS (SELECT r.id, d.place FROM readings r LEFT JOIN devices d ON d.key = r.sensor) SELECT id, place FROM near WHERE place = 'hall' UNION ALL SELECT id, 'b' FROM readings WHERE id = 2
-- columns id Int64?, place Utf8?
-- plan scan readings (id, sensor)
-- plan   lookup devices (place) by sensor
-- plan   project id, place
-- plan   filter place = 'hall'
-- plan scan readings (id)
-- plan   filter id = 2
-- plan   project id, 'b' AS place
-- row 0/0/0 {"id":1,"place":"hall"}
-- row 0/0/2 {"id":3,"place":"hall"}
-- row 0/0/1 {"id":2,"place":"b"}
-- account in 12 + made 0 = out 3 + filtered 9 + set aside 0

-- Rows whose answer fits no row are set aside, alone.
SELECT r.id, o.ceiling FROM readings r LEFT JOIN odd o ON o.key = r.sensor
-- columns id Int64?, ceiling Float64?
-- plan scan readings (id, sensor)
-- plan   lookup odd (ceiling) by sensor
-- plan   project id, ceiling
-- row 0/0/0 {"id":1,"ceiling":1.0}
-- row 0/0/2 {"id":3,"ceiling":1.0}
-- row 0/0/3 {"id":4,"ceiling":null}
-- row 0/0/4 {"id":5,"ceiling":null}
-- row 0/0/5 {"id":6,"ceiling":null}
-- refused 0/0/1 what the lookup has for `b` does not fit: column `ceiling` is float64, found `much`
-- account in 6 + made 0 = out 5 + filtered 0 + set aside 1

-- Unless the lookup gives nulls.
SELECT r.id, o.ceiling FROM readings r LEFT JOIN calm o ON o.key = r.sensor
-- columns id Int64?, ceiling Float64?
-- plan scan readings (id, sensor)
-- plan   lookup calm (ceiling) by sensor
-- plan   project id, ceiling
-- row 0/0/0 {"id":1,"ceiling":1.0}
-- row 0/0/1 {"id":2,"ceiling":null}
-- row 0/0/2 {"id":3,"ceiling":1.0}
-- row 0/0/3 {"id":4,"ceiling":null}
-- row 0/0/4 {"id":5,"ceiling":null}
-- row 0/0/5 {"id":6,"ceiling":null}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0

-- A row that fails before it is looked up is set aside, alone.
SELECT r.id, d.name FROM (SELECT id, CAST(10 / (id - 3) AS VARCHAR) AS k FROM readings) r LEFT JOIN devices d ON d.key = r.k
-- columns id Int64?, name Utf8?
-- plan scan readings (id)
-- plan   project id, CAST(10 / (id - 3) AS string) AS k
-- plan   lookup devices (name) by k
-- plan   project id, name
-- row 0/0/0 {"id":1,"name":null}
-- row 0/0/1 {"id":2,"name":null}
-- row 0/0/3 {"id":4,"name":null}
-- row 0/0/4 {"id":5,"name":null}
-- row 0/0/5 {"id":6,"name":null}
-- refused 0/0/2 division by zero
-- account in 6 + made 0 = out 5 + filtered 0 + set aside 1

-- A name of `WITH` hides the lookup.
WITH devices AS (SELECT id, sensor AS key FROM readings) SELECT key FROM devices WHERE id = 1
-- columns key Utf8?
-- plan scan readings (id, sensor)
-- plan   filter id = 1
-- plan   project sensor AS key
-- row 0/0/0 {"key":"a"}
-- account in 6 + made 0 = out 1 + filtered 5 + set aside 0

SELECT * FROM devices
-- error v: 1:15 `devices` is a lookup: it has no rows of its own, only answers to keys
--  fix: read a source, and join the lookup to it: write `… LEFT JOIN devices ON devices.key = …`

SELECT r.id FROM readings r, devices d WHERE d.key = r.sensor
-- error v: 1:30 `devices` is a lookup: it has no rows of its own, only answers to keys
--  fix: read a source, and join the lookup to it: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id FROM devices d LEFT JOIN readings r ON d.key = r.sensor
-- error v: 1:18 `devices` is a lookup: it has no rows of its own, only answers to keys
--  fix: read a source, and join the lookup to it: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r RIGHT JOIN devices d ON d.key = r.sensor
-- error v: 1:43 a lookup can be joined by `LEFT JOIN` and `INNER JOIN` only, since `devices` has no rows of its own
--  fix: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r FULL JOIN devices d ON d.key = r.sensor
-- error v: 1:42 a lookup can be joined by `LEFT JOIN` and `INNER JOIN` only, since `devices` has no rows of its own
--  fix: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r CROSS JOIN devices d
-- error v: 1:43 a lookup can be joined by `LEFT JOIN` and `INNER JOIN` only, since `devices` has no rows of its own
--  fix: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.name = r.sensor
-- error v: 1:60 a lookup is joined by its key and nothing else, and here stands `ON d.name = r.sensor`
--  fix: write `… LEFT JOIN devices d ON d.key = …`, and put other conditions into `WHERE`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.key = r.sensor AND d.ceiling > 5
-- error v: 1:60 a lookup is joined by its key and nothing else, and here stands `ON d.key = r.sensor AND d.ceiling > 5`
--  fix: write `… LEFT JOIN devices d ON d.key = …`, and put other conditions into `WHERE`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.key = d.name
-- error v: 1:60 a lookup is joined by its key and nothing else, and here stands `ON d.key = d.name`
--  fix: write `… LEFT JOIN devices d ON d.key = …`, and put other conditions into `WHERE`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.key > r.sensor
-- error v: 1:60 a lookup is joined by its key and nothing else, and here stands `ON d.key > r.sensor`
--  fix: write `… LEFT JOIN devices d ON d.key = …`, and put other conditions into `WHERE`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d USING (key)
-- error v: 1:42 the key to look up in `devices` is missing
--  fix: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r NATURAL JOIN devices d
-- error v: 1:45 the key to look up in `devices` is missing
--  fix: write `… LEFT JOIN devices d ON d.key = …`

SELECT r.id, d.name FROM readings r LEFT JOIN devices d ON d.key = r.value
-- error v: 1:60 `d.key = r.value` cannot be computed: a key is a string or a whole number, and `value` is of type float64: write `CAST(value AS VARCHAR)` if that is how the keys are written

SELECT r.id, d.nme FROM readings r LEFT JOIN devices d ON d.key = r.sensor
-- error v: 1:14 there is no column `nme` in `d`
--  fix: did you mean `name`? known: `id`, `sensor`, `value`, `tags`, `key`, `name`, `ceiling`, `place`

SELECT r.id, d.name FROM readings r LEFT JOIN (SELECT * FROM devices) d ON d.key = r.sensor
-- error v: 1:62 `devices` is a lookup: it has no rows of its own, only answers to keys
--  fix: read a source, and join the lookup to it: write `… LEFT JOIN devices ON devices.key = …`

SELECT r.id, o.ceiling FROM readings r JOIN calm o ON o.key = r.sensor
-- error v: 1:40 `INNER JOIN` would lose rows while `calm` is away, since its `on_failure` is `nulls`
--  fix: write `… LEFT JOIN calm o ON o.key = …`, or have the lookup `on_failure: retry`

SELECT r.id, d.NAME FROM readings r LEFT JOIN devices d ON d.KEY = r.sensor
-- columns id Int64?, NAME Utf8?
-- plan scan readings (id, sensor)
-- plan   lookup devices (name) by sensor
-- plan   project id, name AS NAME
-- row 0/0/0 {"id":1,"NAME":"first"}
-- row 0/0/1 {"id":2,"NAME":"second"}
-- row 0/0/2 {"id":3,"NAME":"first"}
-- row 0/0/3 {"id":4,"NAME":null}
-- row 0/0/4 {"id":5,"NAME":null}
-- row 0/0/5 {"id":6,"NAME":null}
-- account in 6 + made 0 = out 6 + filtered 0 + set aside 0
