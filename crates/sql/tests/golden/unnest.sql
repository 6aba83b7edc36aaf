-- input posts {"id":"int64","tags":{"list":"string"},"nums":{"list":"int64"},"deep":{"list":{"list":"int64"}},"place":{"struct":{"x":"float64","y":"float64"}},"items":{"list":{"struct":{"k":"string","v":"int64"}}}}
-- {"id":1,"tags":["a","b"],"nums":[1],"deep":[[1,2],[3]],"place":{"x":1.5,"y":2.5},"items":[{"k":"p","v":1},{"k":"q","v":null}]}
-- {"id":2,"tags":[],"nums":[],"deep":[],"place":null,"items":[]}
-- {"id":3,"tags":null,"nums":null,"deep":null,"place":{"x":null,"y":4.0},"items":null}
-- {"id":4,"tags":["c",null,"d"],"nums":[7,8],"deep":[[],null,[4]],"place":{"x":9.0,"y":9.0},"items":[null,{"k":"r","v":5}]}

-- A row for each item; rows without items are left out.
SELECT id, unnest(tags) AS tag FROM posts
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag
-- row 0/0/0 {"id":1,"tag":"a"}
-- row 0/0/0 {"id":1,"tag":"b"}
-- row 0/0/3 {"id":4,"tag":"c"}
-- row 0/0/3 {"id":4,"tag":null}
-- row 0/0/3 {"id":4,"tag":"d"}
-- account in 4 + made 3 = out 5 + filtered 2 + set aside 0

-- Rows without items stay.
SELECT id, unnest_outer(tags) AS tag FROM posts
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag
-- row 0/0/0 {"id":1,"tag":"a"}
-- row 0/0/0 {"id":1,"tag":"b"}
-- row 0/0/1 {"id":2,"tag":null}
-- row 0/0/2 {"id":3,"tag":null}
-- row 0/0/3 {"id":4,"tag":"c"}
-- row 0/0/3 {"id":4,"tag":null}
-- row 0/0/3 {"id":4,"tag":"d"}
-- account in 4 + made 3 = out 7 + filtered 0 + set aside 0

-- Beside each other, the shorter is filled up with nulls.
SELECT id, unnest(tags) AS tag, unnest(nums) AS num FROM posts
-- columns id Int64?, tag Utf8?, num Int64?
-- plan scan posts (id, tags, nums)
-- plan   project id, tags, nums
-- plan   unnest(tags), unnest(nums)
-- plan   project id, unnest(tags) AS tag, unnest(nums) AS num
-- row 0/0/0 {"id":1,"tag":"a","num":1}
-- row 0/0/0 {"id":1,"tag":"b","num":null}
-- row 0/0/3 {"id":4,"tag":"c","num":7}
-- row 0/0/3 {"id":4,"tag":null,"num":8}
-- row 0/0/3 {"id":4,"tag":"d","num":null}
-- account in 4 + made 3 = out 5 + filtered 2 + set aside 0

-- Lists in lists.
SELECT id, unnest(unnest(deep)) AS n FROM posts
-- columns id Int64?, n Int64?
-- plan scan posts (id, deep)
-- plan   project id, deep
-- plan   unnest(deep)
-- plan   project id, unnest(deep) AS n
-- row 0/0/0 {"id":1,"n":1}
-- row 0/0/0 {"id":1,"n":2}
-- row 0/0/0 {"id":1,"n":3}
-- row 0/0/3 {"id":4,"n":4}
-- account in 4 + made 2 = out 4 + filtered 2 + set aside 0

SELECT id, unnest(deep) AS list, unnest(unnest(deep)) AS n FROM posts
-- columns id Int64?, list List(Int64)?, n Int64?
-- plan scan posts (id, deep)
-- plan   project id, deep
-- plan   unnest(deep)
-- plan   project id, unnest(deep) AS list, unnest(deep) AS n
-- row 0/0/0 {"id":1,"list":[1,2],"n":1}
-- row 0/0/0 {"id":1,"list":[3],"n":2}
-- row 0/0/0 {"id":1,"list":[1,2],"n":3}
-- row 0/0/0 {"id":1,"list":[3],"n":null}
-- row 0/0/3 {"id":4,"list":[],"n":null}
-- row 0/0/3 {"id":4,"list":null,"n":null}
-- row 0/0/3 {"id":4,"list":[4],"n":null}
-- row 0/0/3 {"id":4,"list":[],"n":null}
-- row 0/0/3 {"id":4,"list":null,"n":null}
-- row 0/0/3 {"id":4,"list":[4],"n":null}
-- row 0/0/3 {"id":4,"list":[],"n":4}
-- row 0/0/3 {"id":4,"list":null,"n":null}
-- row 0/0/3 {"id":4,"list":[4],"n":null}
-- account in 4 + made 11 = out 13 + filtered 2 + set aside 0

-- In FROM.
SELECT p.id, t.tag FROM posts p CROSS JOIN UNNEST(p.tags) AS t(tag) WHERE t.tag <> 'a'
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   filter unnest(tags) != 'a'
-- plan   project id, unnest(tags) AS tag
-- row 0/0/0 {"id":1,"tag":"b"}
-- row 0/0/3 {"id":4,"tag":"c"}
-- row 0/0/3 {"id":4,"tag":"d"}
-- account in 4 + made 3 = out 3 + filtered 4 + set aside 0

SELECT id, tag FROM posts, UNNEST(posts.tags) AS t(tag)
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag
-- row 0/0/0 {"id":1,"tag":"a"}
-- row 0/0/0 {"id":1,"tag":"b"}
-- row 0/0/3 {"id":4,"tag":"c"}
-- row 0/0/3 {"id":4,"tag":null}
-- row 0/0/3 {"id":4,"tag":"d"}
-- account in 4 + made 3 = out 5 + filtered 2 + set aside 0

SELECT id, tag, num FROM posts CROSS JOIN UNNEST(posts.tags, posts.nums) AS t(tag, num)
-- columns id Int64?, tag Utf8?, num Int64?
-- plan scan posts (id, tags, nums)
-- plan   project id, tags, nums
-- plan   unnest(tags), unnest(nums)
-- plan   project id, unnest(tags) AS tag, unnest(nums) AS num
-- row 0/0/0 {"id":1,"tag":"a","num":1}
-- row 0/0/0 {"id":1,"tag":"b","num":null}
-- row 0/0/3 {"id":4,"tag":"c","num":7}
-- row 0/0/3 {"id":4,"tag":null,"num":8}
-- row 0/0/3 {"id":4,"tag":"d","num":null}
-- account in 4 + made 3 = out 5 + filtered 2 + set aside 0

SELECT id, tag, num FROM posts CROSS JOIN UNNEST(tags) AS t(tag) CROSS JOIN UNNEST(nums) AS n(num)
-- columns id Int64?, tag Utf8?, num Int64?
-- plan scan posts (id, tags, nums)
-- plan   project id, nums, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag, nums
-- plan   unnest(nums)
-- plan   project id, tag, unnest(nums) AS num
-- row 0/0/0 {"id":1,"tag":"a","num":1}
-- row 0/0/0 {"id":1,"tag":"b","num":1}
-- row 0/0/3 {"id":4,"tag":"c","num":7}
-- row 0/0/3 {"id":4,"tag":"c","num":8}
-- row 0/0/3 {"id":4,"tag":null,"num":7}
-- row 0/0/3 {"id":4,"tag":null,"num":8}
-- row 0/0/3 {"id":4,"tag":"d","num":7}
-- row 0/0/3 {"id":4,"tag":"d","num":8}
-- account in 4 + made 6 = out 8 + filtered 2 + set aside 0

SELECT id, l.tag FROM posts CROSS JOIN LATERAL (SELECT upper(x) AS tag FROM UNNEST(posts.tags) AS u(x) WHERE x <> 'b') AS l
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   filter unnest(tags) != 'b'
-- plan   project id, upper(unnest(tags)) AS tag
-- row 0/0/0 {"id":1,"tag":"A"}
-- row 0/0/3 {"id":4,"tag":"C"}
-- row 0/0/3 {"id":4,"tag":"D"}
-- account in 4 + made 3 = out 3 + filtered 4 + set aside 0

SELECT * EXCEPT (tags, nums, deep, place, items) FROM posts CROSS JOIN UNNEST(posts.nums) AS n(num)
-- columns id Int64?, num Int64?
-- plan scan posts (id, nums)
-- plan   project id, nums
-- plan   unnest(nums)
-- plan   project id, unnest(nums) AS num
-- row 0/0/0 {"id":1,"num":1}
-- row 0/0/3 {"id":4,"num":7}
-- row 0/0/3 {"id":4,"num":8}
-- account in 4 + made 1 = out 3 + filtered 2 + set aside 0

-- Items that are structs.
SELECT id, item.k, item['v'] AS v FROM (SELECT id, unnest(items) AS item FROM posts)
-- columns id Int64?, k Utf8?, v Int64?
-- plan scan posts (id, items)
-- plan   project id, items
-- plan   unnest(items)
-- plan   project id, unnest(items).k AS k, unnest(items).v AS v
-- row 0/0/0 {"id":1,"k":"p","v":1}
-- row 0/0/0 {"id":1,"k":"q","v":null}
-- row 0/0/3 {"id":4,"k":null,"v":null}
-- row 0/0/3 {"id":4,"k":"r","v":5}
-- account in 4 + made 2 = out 4 + filtered 2 + set aside 0

-- A struct's fields.
SELECT id, place.x, place['y'] AS y, place.x + place.y AS sum FROM posts
-- columns id Int64?, x Float64?, y Float64?, sum Float64?
-- plan scan posts (id, place)
-- plan   project id, place.x AS x, place.y AS y, place.x + place.y AS sum
-- row 0/0/0 {"id":1,"x":1.5,"y":2.5,"sum":4.0}
-- row 0/0/1 {"id":2,"x":null,"y":null,"sum":null}
-- row 0/0/2 {"id":3,"x":null,"y":4.0,"sum":null}
-- row 0/0/3 {"id":4,"x":9.0,"y":9.0,"sum":18.0}
-- account in 4 + made 0 = out 4 + filtered 0 + set aside 0

SELECT id, unnest(place) FROM posts
-- columns id Int64?, posts.place.x Float64?, posts.place.y Float64?
-- plan scan posts (id, place)
-- plan   project id, place
-- plan   unnest(place)
-- plan   project id, unnest(x) AS posts.place.x, unnest(y) AS posts.place.y
-- row 0/0/0 {"id":1,"posts.place.x":1.5,"posts.place.y":2.5}
-- row 0/0/1 {"id":2,"posts.place.x":null,"posts.place.y":null}
-- row 0/0/2 {"id":3,"posts.place.x":null,"posts.place.y":4.0}
-- row 0/0/3 {"id":4,"posts.place.x":9.0,"posts.place.y":9.0}
-- account in 4 + made 0 = out 4 + filtered 0 + set aside 0

-- After UNNEST a row that fails takes the whole row along that it was made of.
SELECT id, 10 / (num - 7) AS q FROM posts CROSS JOIN UNNEST(nums) AS n(num)
-- columns id Int64?, q Int64?
-- plan scan posts (id, nums)
-- plan   project id, nums
-- plan   unnest(nums)
-- plan   project id, 10 / (unnest(nums) - 7) AS q
-- row 0/0/0 {"id":1,"q":-1}
-- refused 0/0/3 division by zero
-- account in 4 + made 0 = out 1 + filtered 2 + set aside 1

-- A filter before and after.
SELECT id, unnest(tags) AS tag FROM posts WHERE id > 1
-- columns id Int64?, tag Utf8?
-- plan scan posts (id, tags)
-- plan   filter id > 1
-- plan   project id, tags
-- plan   unnest(tags)
-- plan   project id, unnest(tags) AS tag
-- row 0/0/3 {"id":4,"tag":"c"}
-- row 0/0/3 {"id":4,"tag":null}
-- row 0/0/3 {"id":4,"tag":"d"}
-- account in 4 + made 2 = out 3 + filtered 3 + set aside 0

SELECT tags[1] AS first, cardinality(tags) AS n, array_to_string(tags, '+') AS all FROM posts
-- columns first Utf8?, n Int64?, all Utf8?
-- plan scan posts (tags)
-- plan   project array_element(tags, 1) AS first, CAST(cardinality(tags) AS int64) AS n, array_to_string(tags, '+') AS all
-- row 0/0/0 {"first":"a","n":2,"all":"a+b"}
-- row 0/0/1 {"first":null,"n":0,"all":""}
-- row 0/0/2 {"first":null,"n":null,"all":null}
-- row 0/0/3 {"first":"c","n":3,"all":"c+d"}
-- account in 4 + made 0 = out 4 + filtered 0 + set aside 0

SELECT id, t.* FROM posts CROSS JOIN UNNEST(posts.items) AS t(item)
-- columns id Int64?, item Struct("k": Utf8, "v": Int64)?
-- plan scan posts (id, items)
-- plan   project id, items
-- plan   unnest(items)
-- plan   project id, unnest(items) AS item
-- row 0/0/0 {"id":1,"item":{"k":"p","v":1}}
-- row 0/0/0 {"id":1,"item":{"k":"q","v":null}}
-- row 0/0/3 {"id":4,"item":null}
-- row 0/0/3 {"id":4,"item":{"k":"r","v":5}}
-- account in 4 + made 2 = out 4 + filtered 2 + set aside 0

-- Nothing is carried through UNNEST that nobody asks for above it.
SELECT num FROM (SELECT * FROM posts CROSS JOIN UNNEST(nums) AS n(num)) AS x WHERE id > 1
-- columns num Int64?
-- plan scan posts (id, nums)
-- plan   filter id > 1
-- plan   project nums
-- plan   unnest(nums)
-- plan   project unnest(nums) AS num
-- row 0/0/3 {"num":7}
-- row 0/0/3 {"num":8}
-- account in 4 + made 1 = out 2 + filtered 3 + set aside 0
