-- input events {"id":"int64","doc":"json","key":"string"}
-- {"id":1,"doc":"{\"a\":{\"b\":[1,2.5,\"x\\\"y\"]},\"s\":\"hi\",\"n\":42,\"f\":2.0,\"t\":true,\"z\":null}","key":"s"}
-- {"id":2,"doc":"[10,20,30]","key":"a"}
-- {"id":3,"doc":"{\"a\":","key":"a"}
-- {"id":4,"doc":null,"key":"a"}
-- {"id":5,"doc":"{\"a\":\"7\",\"n\":1e400,\"f\":1.5}","key":null}

SELECT id, doc -> 'a' AS a, doc ->> 'a' AS at, doc -> 'a' -> 'b' -> 2 AS j, doc -> 'a' -> 'b' ->> 2 AS x FROM events
-- columns id Int64?, a Utf8?, at Utf8?, j Utf8?, x Utf8?
-- plan scan events (id, doc)
-- plan   project json_get(doc, 'a') AS #3, id, doc
-- plan   project #3 AS #1, json_get(#3, 'b') AS #2, id, doc
-- plan   project id, #1 AS a, json_as_text(doc, 'a') AS at, json_get(#2, 2) AS j, json_as_text(#2, 2) AS x
-- row 0/0/0 {"id":1,"a":"{\"b\":[1,2.5,\"x\\\"y\"]}","at":"{\"b\":[1,2.5,\"x\\\"y\"]}","j":"\"x\\\"y\"","x":"x\"y"}
-- row 0/0/1 {"id":2,"a":null,"at":null,"j":null,"x":null}
-- row 0/0/2 {"id":3,"a":null,"at":null,"j":null,"x":null}
-- row 0/0/3 {"id":4,"a":null,"at":null,"j":null,"x":null}
-- row 0/0/4 {"id":5,"a":"\"7\"","at":"7","j":null,"x":null}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, doc ->> 's' AS s, doc ? 's' AS has, json_contains(doc, 'a', 'b') AS deep FROM events
-- columns id Int64?, s Utf8?, has Boolean?, deep Boolean?
-- plan scan events (id, doc)
-- plan   project id, json_as_text(doc, 's') AS s, json_contains(doc, 's') AS has, json_contains(doc, 'a', 'b') AS deep
-- row 0/0/0 {"id":1,"s":"hi","has":true,"deep":true}
-- row 0/0/1 {"id":2,"s":null,"has":false,"deep":false}
-- row 0/0/2 {"id":3,"s":null,"has":false,"deep":false}
-- row 0/0/3 {"id":4,"s":null,"has":null,"deep":null}
-- row 0/0/4 {"id":5,"s":null,"has":false,"deep":false}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, json_get_int(doc, 'n') AS n, json_get_int(doc, 'f') AS f, json_get_float(doc, 'f') AS ff, json_get_bool(doc, 't') AS t, json_get_str(doc, 'n') AS none FROM events
-- columns id Int64?, n Int64?, f Int64?, ff Float64?, t Boolean?, none Utf8?
-- plan scan events (id, doc)
-- plan   project id, json_get_int(doc, 'n') AS n, json_get_int(doc, 'f') AS f, json_get_float(doc, 'f') AS ff, json_get_bool(doc, 't') AS t, json_get_str(doc, 'n') AS none
-- row 0/0/0 {"id":1,"n":42,"f":2,"ff":2.0,"t":true,"none":null}
-- row 0/0/1 {"id":2,"n":null,"f":null,"ff":null,"t":null,"none":null}
-- row 0/0/2 {"id":3,"n":null,"f":null,"ff":null,"t":null,"none":null}
-- row 0/0/3 {"id":4,"n":null,"f":null,"ff":null,"t":null,"none":null}
-- row 0/0/4 {"id":5,"n":null,"f":null,"ff":1.5,"t":null,"none":null}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, json_length(doc) AS len, json_length(doc, 'a', 'b') AS deep, json_object_keys(doc) AS keys, json_get(doc, -1) AS last FROM events
-- columns id Int64?, len Int64?, deep Int64?, keys List(Utf8)?, last Utf8?
-- plan scan events (id, doc)
-- plan   project id, json_length(doc) AS len, json_length(doc, 'a', 'b') AS deep, json_object_keys(doc) AS keys, json_get(doc, -1) AS last
-- row 0/0/0 {"id":1,"len":6,"deep":3,"keys":["a","s","n","f","t","z"],"last":null}
-- row 0/0/1 {"id":2,"len":3,"deep":null,"keys":null,"last":"30"}
-- row 0/0/2 {"id":3,"len":null,"deep":null,"keys":null,"last":null}
-- row 0/0/3 {"id":4,"len":null,"deep":null,"keys":null,"last":null}
-- row 0/0/4 {"id":5,"len":3,"deep":null,"keys":["a","n","f"],"last":null}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, doc ->> key AS by_key FROM events
-- columns id Int64?, by_key Utf8?
-- plan scan events (id, doc, key)
-- plan   project id, json_as_text(doc, key) AS by_key
-- row 0/0/0 {"id":1,"by_key":"hi"}
-- row 0/0/1 {"id":2,"by_key":null}
-- row 0/0/2 {"id":3,"by_key":null}
-- row 0/0/3 {"id":4,"by_key":null}
-- row 0/0/4 {"id":5,"by_key":null}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, CAST(doc ->> 'n' AS DOUBLE) AS n FROM events WHERE doc ->> 's' = 'hi'
-- columns id Int64?, n Float64?
-- plan scan events (id, doc)
-- plan   filter json_as_text(doc, 's') = 'hi'
-- plan   project id, CAST(json_as_text(doc, 'n') AS float64) AS n
-- row 0/0/0 {"id":1,"n":42.0}
-- account in 5 + made 0 = out 1 + filtered 4 + set aside 0

SELECT id, (doc ->> 'f')::double > 1.7 AS big FROM events
-- columns id Int64?, big Boolean?
-- plan scan events (id, doc)
-- plan   project id, CAST(json_as_text(doc, 'f') AS float64) > 1.7 AS big
-- row 0/0/0 {"id":1,"big":true}
-- row 0/0/1 {"id":2,"big":null}
-- row 0/0/2 {"id":3,"big":null}
-- row 0/0/3 {"id":4,"big":null}
-- row 0/0/4 {"id":5,"big":false}
-- account in 5 + made 0 = out 5 + filtered 0 + set aside 0

SELECT id, unnest(json_get_array(doc, 'a', 'b')) AS item FROM events
-- columns id Int64?, item Utf8?
-- plan scan events (id, doc)
-- plan   project id, json_get_array(doc, 'a', 'b')
-- plan   unnest(…)
-- plan   project id, unnest(…) AS item
-- row 0/0/0 {"id":1,"item":"1"}
-- row 0/0/0 {"id":1,"item":"2.5"}
-- row 0/0/0 {"id":1,"item":"\"x\\\"y\""}
-- account in 5 + made 2 = out 3 + filtered 4 + set aside 0

SELECT id, json_get('{"k": [1, {"z": "q"}]}', 'k', 1, 'z') AS fixed FROM events WHERE id = 1
-- columns id Int64?, fixed Utf8
-- plan scan events (id)
-- plan   filter id = 1
-- plan   project id, '"q"' AS fixed
-- row 0/0/0 {"id":1,"fixed":"\"q\""}
-- account in 5 + made 0 = out 1 + filtered 4 + set aside 0

SELECT json_get(id, 'a') AS x, json_get(doc, 1.5) AS y, json_get() AS z FROM events
-- error v: 1:8 `json_get(id, 'a')` cannot be computed: `json_get` reads JSON text, not int64
-- error v: 1:32 `json_get(doc, 1.5)` cannot be computed: `json_get`: a key in JSON is text or a whole number, not float64
-- error v: 1:57 `json_get()` cannot be computed: `json_get` is called as `json_get(json, key, …)`
