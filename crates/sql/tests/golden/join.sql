-- input orders {"id":"int64","customer":"string","price":"float64","ts":"timestamp","expires":"timestamp"} time ts delay 2000000
-- {"id":1,"customer":"ann","price":5,"ts":"2026-01-01T00:00:01Z","expires":"2026-01-01T00:00:06Z"}
-- {"id":2,"customer":"bob","price":7,"ts":"2026-01-01T00:00:02Z","expires":"2026-01-01T00:00:03Z"}
-- {"id":3,"customer":null,"price":1,"ts":"2026-01-01T00:00:03Z","expires":"2026-01-01T00:00:09Z"}
-- next
-- {"id":4,"customer":"ann","price":2,"ts":"2026-01-01T00:00:05Z","expires":"2026-01-01T00:00:04Z"}
-- {"id":5,"customer":"cat","price":9,"ts":"2026-01-01T00:00:04Z","expires":null}
-- {"id":6,"customer":"ann","price":3,"ts":null,"expires":null}
-- next
-- {"id":7,"customer":"bob","price":8,"ts":"2026-01-01T00:00:20Z","expires":"2026-01-01T00:00:30Z"}
-- {"id":8,"customer":"bob","price":8,"ts":"2026-01-01T00:00:21Z","expires":"2026-01-01T00:00:30Z"}
-- next
-- {"id":9,"customer":"dan","price":8,"ts":"2026-01-01T00:00:02Z","expires":"2026-01-01T00:00:30Z"}
-- input pays {"order_id":"int64","customer":"string","amount":"float64","at":"timestamp"} time at delay 1000000
-- {"order_id":1,"customer":"ann","amount":3,"at":"2026-01-01T00:00:01Z"}
-- {"order_id":1,"customer":"ann","amount":2,"at":"2026-01-01T00:00:04Z"}
-- {"order_id":2,"customer":"bob","amount":7,"at":"2026-01-01T00:00:05Z"}
-- next
-- {"order_id":null,"customer":"bob","amount":1,"at":"2026-01-01T00:00:05Z"}
-- {"order_id":4,"customer":"ann","amount":2,"at":"2026-01-01T00:00:05Z"}
-- next
-- {"order_id":5,"customer":"cat","amount":9,"at":"2026-01-01T00:00:12Z"}
-- {"order_id":5,"customer":"cat","amount":9,"at":"2026-01-01T00:00:14Z"}
-- next
-- {"order_id":8,"customer":"bob","amount":8,"at":"2026-01-01T00:00:21Z"}

-- Each order with what was paid for it within ten seconds.
SELECT o.id, p.amount, o.ts, p.at FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'

-- The same, said in other words.
SELECT o.id, p.amount FROM orders o, pays p WHERE p.order_id = o.id AND p.at >= o.ts AND p.at - o.ts <= INTERVAL '10 seconds'

SELECT o.id, p.amount, p.at FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'

SELECT o.id, p.order_id, p.amount FROM orders o RIGHT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'

SELECT o.id, p.order_id, p.amount FROM orders o FULL JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'

-- A condition besides, on rows of both sides.
SELECT o.id, p.amount FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' AND p.amount < o.price

SELECT o.id, p.amount FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' AND p.amount < o.price

SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds')

SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM pays p WHERE p.order_id = o.id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds')

SELECT id FROM orders o WHERE o.id IN (SELECT p.order_id FROM pays p WHERE p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' AND p.amount < o.price)

-- Two keys of two kinds, and bounds that are strict.
SELECT o.id, p.amount FROM orders o JOIN pays p ON o.customer = p.customer AND o.id = p.order_id AND p.at > o.ts AND p.at < o.ts + INTERVAL '3 seconds'

-- By a key in common.
SELECT id, customer, amount FROM orders JOIN pays USING (customer) WHERE at BETWEEN ts - INTERVAL '1 second' AND ts + INTERVAL '1 second'

-- No key at all, and the same moment.
SELECT o.id, p.order_id FROM orders o JOIN pays p ON o.ts = p.at

-- As long as the order is open, which may be for no time at all.
SELECT o.id, o.expires, p.amount FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.expires

SELECT o.id, o.expires, p.amount FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.expires

-- Grouped by the end of each order, which is event time: no more comes once that has passed.
SELECT o.id, o.expires, count(*) AS n, sum(p.amount) AS paid FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.expires GROUP BY o.id, o.expires

-- Windows of both sides.
SELECT o.window_end, o.customer, o.n, p.paid FROM (SELECT window_start, window_end, customer, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer) o JOIN (SELECT window_start, window_end, customer, sum(amount) AS paid FROM TUMBLE(pays, at, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer) p ON o.customer = p.customer AND o.window_start = p.window_start AND o.window_end = p.window_end

-- view per
SELECT window_start, window_end, customer, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer
-- view v
SELECT w.window_end, w.customer, w.n, o.id FROM per w LEFT JOIN orders o ON o.customer = w.customer AND o.ts >= w.window_start AND o.ts < w.window_end

-- A window join grouped again by the same windows.
SELECT o.window_start, o.window_end, count(*) AS customers, sum(p.paid) AS paid FROM (SELECT window_start, window_end, customer, count(*) AS n FROM TUMBLE(orders, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer) o JOIN (SELECT window_start, window_end, customer, sum(amount) AS paid FROM TUMBLE(pays, at, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer) p ON o.customer = p.customer AND o.window_start = p.window_start AND o.window_end = p.window_end GROUP BY o.window_start, o.window_end

-- Joined rows in windows of their own.
-- view paid
SELECT o.customer, o.ts, p.amount FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds'
-- view v
SELECT window_start, window_end, customer, sum(amount) AS paid FROM TUMBLE(paid, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, customer

-- With itself: an order and those of the same customer up to a minute before it.
SELECT a.id, b.id AS before FROM orders a JOIN orders b ON a.customer = b.customer AND b.ts < a.ts AND b.ts >= a.ts - INTERVAL '1 minute'

-- Three sides.
SELECT o.id, p.amount, q.amount AS next FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' JOIN pays q ON q.order_id = p.order_id AND q.at > p.at AND q.at <= p.at + INTERVAL '10 seconds'

-- However far apart, but for `state_ttl`.
-- view v ttl 4000000
SELECT o.id, p.amount FROM orders o JOIN pays p ON o.id = p.order_id

-- view v ttl 4000000
SELECT o.id, p.amount FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at >= o.ts

-- A pair that cannot be computed is set aside alone; of an outer join it is the row that came last.
SELECT o.id, p.amount FROM orders o JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' AND 10 / (o.id - 1) > 1

SELECT o.id, p.amount FROM orders o LEFT JOIN pays p ON o.id = p.order_id AND p.at BETWEEN o.ts AND o.ts + INTERVAL '10 seconds' AND 10 / (o.id - 1) > 1

-- Rows that come late, as they came.
-- view v late stream
SELECT a.id, b.id AS other FROM orders a JOIN orders b ON a.id = b.id AND a.ts = b.ts
