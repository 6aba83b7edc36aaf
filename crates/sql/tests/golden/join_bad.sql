-- input orders {"id":"int64","customer":"string","ts":"timestamp","expires":"timestamp","tags":{"list":"string"}} time ts delay 0
-- input pays {"order_id":"int64","amount":"float64","at":"timestamp"} time at delay 0
-- input plain {"id":"int64","made":"timestamp"}
-- lookup prices {"price":"float64"} live

-- What is not bounded would be kept for ever.
SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id
-- error v: 1:27 rows of `o` and `p` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND p.at BETWEEN o.ts - INTERVAL '1 hour' AND o.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT o.id FROM orders o, pays p
-- error v: 1:13 rows of `o` and `p` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND p.at BETWEEN o.ts - INTERVAL '1 hour' AND o.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT o.id FROM orders o CROSS JOIN pays p
-- error v: 1:33 rows of `o` and `p` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND p.at BETWEEN o.ts - INTERVAL '1 hour' AND o.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND p.at >= o.ts
-- error v: 1:27 nothing says how long a row of `o` has to wait for rows of `p`, so that each would be kept for ever
--  fix: bound it: `AND p.at <= o.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND p.at <= o.expires
-- error v: 1:27 nothing says how long a row of `p` has to wait for rows of `o`, so that each would be kept for ever
--  fix: bound it: `AND o.ts <= p.at + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

-- By something that is no event time.
SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.expires AND o.expires + INTERVAL '1 hour'
-- error v: 1:27 nothing says how long a row of `p` has to wait for rows of `o`, so that each would be kept for ever
--  fix: bound it: `AND o.ts <= p.at + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT o.id FROM orders o JOIN plain p ON o.id = p.id AND p.made BETWEEN o.ts AND o.ts + INTERVAL '1 hour'
-- error v: 1:27 `p` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `plain`

SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM plain WHERE plain.id = o.id)
-- error v: 1:33 `plain` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `plain`

-- view moved
SELECT id, ts + INTERVAL '1 hour' AS later FROM orders
-- view v
SELECT m.id FROM moved m JOIN pays p ON m.id = p.order_id AND p.at = m.later
-- error v: 1:26 `m` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: have `m` give the event time of its source as it is, as a column of its own

-- view v ttl 3600000000
SELECT o.id FROM orders o JOIN plain p ON o.id = p.id
-- error v: 1:27 `p` has no event time to be joined by: each of its rows would have to be kept for ever
--  fix: declare `event_time: { column: … }` at the source `plain`

-- Of a side that may be missing, nothing is event time behind the join.
-- view j
SELECT o.id, p.at FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '1 hour'
-- view v
SELECT count(*) FROM TUMBLE(j, at, INTERVAL '1 minute') GROUP BY window_start, window_end
-- error v: 1:32 `at` is not the event time of `j`
--  fix: have `j` give the event time of its source as it is, as a column of its own

-- Rows that are given anew.
-- view per lateness 1000000
SELECT window_end, customer, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, customer
-- view v
SELECT a.customer, b.id FROM per a JOIN orders b ON a.customer = b.customer AND b.ts BETWEEN a.window_end - INTERVAL '1 minute' AND a.window_end
-- error v: 1:36 a join is not possible over rows that are given anew: a row that takes the place of another would have to take back what that one was joined to
--  fix: leave out `allowed_lateness` of the windows below, or group them by windows, or join the rows before they are grouped

-- Queries in expressions.
SELECT id, (SELECT max(amount) FROM pays WHERE order_id = id) FROM orders
-- error v: 1:13 a `SELECT` inside an expression is not yet possible: of which row of the other query it is would be known only at the end
--  fix: join the other query by keys and event time, or ask `EXISTS (SELECT …)` of it in `WHERE`
-- error v: 1:20 `max` without `GROUP BY` is not possible: it is one row for all time, which changes with every row, and no column says which row it takes the place of
--  fix: group by a key: `SELECT key, … GROUP BY key`, or of all rows `SELECT 'all' AS id, … GROUP BY id`; or gather them in windows of event time: `FROM TUMBLE(pays, at, INTERVAL '1 minute') GROUP BY window_start, window_end, …`; of several columns in one row take `greatest(a, b)`

SELECT id, EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts) AS paid FROM orders o
-- error v: 1:12 `EXISTS` and `IN (SELECT …)` are possible in `WHERE` alone: elsewhere a row would have to wait to tell that they are false
--  fix: let it stand in `WHERE`, beside other conditions with `AND`

SELECT id FROM orders o WHERE id > 5 OR EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts)
-- error v: 1:41 `EXISTS` or `IN (SELECT …)` as a part of another condition is not possible: a row would have to wait to tell that it is false
--  fix: let it stand alone in `WHERE`, or beside others with `AND`

SELECT id FROM orders o WHERE id NOT IN (SELECT p.order_id FROM pays p WHERE p.at = o.ts)
-- error v: 1:38 `NOT IN` over values that may be null is true of no row once one of them is, so that no row could go before the end
--  fix: write `NOT EXISTS (SELECT 1 FROM … WHERE …)`, to which nulls are nothing

-- Kinds of joins that there are not.
SELECT o.id FROM orders o RIGHT SEMI JOIN pays p ON o.id = p.order_id AND p.at = o.ts
-- error v: 1:38 this kind of join is not yet possible: it is not built
--  fix: write `JOIN`, `LEFT JOIN`, `RIGHT JOIN` or `FULL JOIN`, and `EXISTS (SELECT …)` in `WHERE` for the rest

SELECT o.id FROM orders o JOIN LATERAL (SELECT 1 AS x) l ON l.x = o.id
-- error v: 1:27 this way to join `LATERAL (…)` is not possible: what is made of a row stands beside it or does not
--  fix: write `CROSS JOIN LATERAL (…)`, and put conditions into `WHERE`
-- error v: 1:41 a `SELECT` without `FROM` is not possible: it would have no rows ever
--  fix: read a source: `SELECT … FROM …`

SELECT o.id FROM orders o JOIN UNNEST(o.tags) t ON t.tags = 'a'
-- error v: 1:27 this way to join `UNNEST` is not possible: only a cross join takes lists apart
--  fix: write `CROSS JOIN UNNEST(…)`, and put conditions into `WHERE`

-- Two columns of one name.
SELECT * FROM orders o JOIN (SELECT order_id AS id, at FROM pays) p ON o.id = p.id AND o.ts = p.at
-- error v: 1:1 two columns are called `id`
--  fix: name the columns of each side in place of `*`, and give one another name with `AS`

SELECT id FROM orders o JOIN orders p ON o.id = p.id AND o.ts = p.ts
-- error v: 1:8 `id` could be several columns
--  fix: write the table before it: `table.column`

-- A state that is made of what is not recorded.
SELECT o.id FROM (SELECT orders.id, ts, price FROM orders LEFT JOIN prices ON prices.key = orders.customer) o JOIN pays p ON o.id = p.order_id AND p.at = o.ts AND p.amount < o.price
-- error v: 1:64 the answers of `prices` are not recorded, so a join could not be made again of the same rows
--  fix: have the lookup `prices` record its answers, or join it to the rows that this join gives

-- Options that mean nothing.
-- view v ttl 3600000000
SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND o.ts = p.at
-- error v: the view has `state_ttl`, and keeps nothing that would grow for ever without it
--  fix: leave it out

-- view v late stream
SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND o.ts = p.at
-- error v: rows that come late are given as they came, and those of `orders` and `pays` have different columns
--  fix: make views of them that have the same columns in the same order, and read those

-- view v lateness 1000000
SELECT o.id FROM orders o JOIN pays p ON o.id = p.order_id AND o.ts = p.at
-- error v: the view has `allowed_lateness`, and no window that rows could be late for
--  fix: leave it out, or give it to the view with the windows

-- Its event time is there, though the query in brackets does not give it.
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id)
-- error v: 1:31 rows of `o` and `p` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND p.at BETWEEN o.ts - INTERVAL '1 hour' AND o.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT id FROM orders WHERE id IN (SELECT order_id FROM pays)
-- error v: 1:32 rows of `orders` and `pays` could meet however far apart in time they are, so that each would be kept for ever
--  fix: bound it: `AND pays.at BETWEEN orders.ts - INTERVAL '1 hour' AND orders.ts + INTERVAL '1 hour'`; or give the view `state_ttl: 1h`, and rows meet only if their event times are at most so far apart

SELECT id FROM orders o WHERE (id, ts) IN (SELECT order_id, at FROM pays)
-- error v: 1:32 `IN (SELECT …)` compares one column
--  fix: of several write `EXISTS (SELECT 1 FROM … AS b WHERE b.x = a.x AND b.y = a.y)`, and `NOT EXISTS` for `NOT IN`

-- As a join it would number all rows of `pays`, not those that an order chooses.
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts QUALIFY ROW_NUMBER() OVER (ORDER BY p.at) > 1)
-- error v: 1:121 `OVER` in `EXISTS` or `IN (SELECT …)` is not possible over rows that are chosen by the row outside
--  fix: compute it over all rows, and choose around it: `EXISTS (SELECT 1 FROM (SELECT *, … OVER (…) AS x FROM b) AS b WHERE b.ts = a.ts AND b.x > …)`

SELECT id FROM orders o WHERE id IN (SELECT ROW_NUMBER() OVER (ORDER BY p.at) AS n FROM pays p WHERE p.at = o.ts)
-- error v: 1:58 `OVER` in `EXISTS` or `IN (SELECT …)` is not possible over rows that are chosen by the row outside
--  fix: compute it over all rows, and choose around it: `EXISTS (SELECT 1 FROM (SELECT *, … OVER (…) AS x FROM b) AS b WHERE b.ts = a.ts AND b.x > …)`

SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts UNION ALL SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts)
-- error v: 1:31 `EXISTS` or `IN (SELECT …)` asks a query in which columns of the row outside stand too deep, in a `UNION` or a group: it cannot be made a join
--  fix: compare around that query: `EXISTS (SELECT 1 FROM (SELECT … UNION ALL SELECT …) AS b WHERE b.id = a.id AND b.ts = a.ts)`

SELECT id, EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at = o.ts) AS paid FROM orders o
-- error v: 1:12 `EXISTS` and `IN (SELECT …)` are possible in `WHERE` alone: elsewhere a row would have to wait to tell that they are false
--  fix: let it stand in `WHERE`, beside other conditions with `AND`
