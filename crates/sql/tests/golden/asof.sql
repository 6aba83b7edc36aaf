-- input trades {"id":"int64","symbol":"string","price":"float64","ts":"timestamp"} time ts delay 2000000
-- {"id":1,"symbol":"a","price":10,"ts":"2026-01-01T00:00:10Z"}
-- {"id":2,"symbol":"b","price":20,"ts":"2026-01-01T00:00:11Z"}
-- {"id":3,"symbol":"a","price":11,"ts":"2026-01-01T00:00:09Z"}
-- {"id":4,"symbol":null,"price":1,"ts":"2026-01-01T00:00:10Z"}
-- next
-- {"id":5,"symbol":"a","price":12,"ts":"2026-01-01T00:00:15Z"}
-- {"id":6,"symbol":"a","price":13,"ts":"2026-01-01T00:00:14Z"}
-- {"id":7,"symbol":"c","price":13,"ts":"2026-01-01T00:00:14Z"}
-- {"id":8,"symbol":"a","price":13,"ts":null}
-- next
-- {"id":9,"symbol":"a","price":14,"ts":"2026-01-01T00:01:00Z"}
-- {"id":10,"symbol":"b","price":14,"ts":"2026-01-01T00:01:00Z"}
-- {"id":11,"symbol":"a","price":14,"ts":"2026-01-01T00:00:10Z"}
-- input quotes {"symbol":"string","bid":"float64","at":"timestamp"} time at delay 3000000
-- {"symbol":"a","bid":1.0,"at":"2026-01-01T00:00:08Z"}
-- {"symbol":"a","bid":1.5,"at":"2026-01-01T00:00:10Z"}
-- {"symbol":"a","bid":1.6,"at":"2026-01-01T00:00:10Z"}
-- {"symbol":"b","bid":2.0,"at":"2026-01-01T00:00:12Z"}
-- {"symbol":null,"bid":9.0,"at":"2026-01-01T00:00:09Z"}
-- next
-- {"symbol":"a","bid":1.7,"at":"2026-01-01T00:00:18Z"}
-- {"symbol":"a","bid":1.65,"at":"2026-01-01T00:00:15Z"}
-- {"symbol":"c","bid":3.0,"at":"2026-01-01T00:00:14.000001Z"}
-- next
-- {"symbol":"b","bid":2.5,"at":"2026-01-01T00:00:50Z"}
-- {"symbol":"b","bid":2.6,"at":"2026-01-01T00:01:10Z"}
-- {"symbol":"b","bid":2.4,"at":"2026-01-01T00:00:01Z"}

-- Each trade with the quote of its moment, in order of time; a quote of the same moment counts, and of several the one that came last.
SELECT t.id, t.ts, t.symbol, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.at AND t.ts <= q.at + INTERVAL '1 minute'

-- Trades without one stay.
SELECT t.id, t.ts, q.at, q.bid FROM trades t ASOF LEFT JOIN quotes q MATCH_CONDITION (t.ts >= q.at AND q.at >= t.ts - INTERVAL '30 seconds') ON t.symbol = q.symbol

-- Only quotes before it; and no key.
SELECT t.id, q.symbol, q.bid FROM trades AS t LEFT ASOF JOIN quotes AS q MATCH_CONDITION (t.ts > q.at AND t.ts - q.at < INTERVAL '1 minute')

-- view v ttl 60000000
SELECT t.id, q.bid, t.price - q.bid AS spread FROM trades AS t LEFT JOIN quotes FOR SYSTEM_TIME AS OF t.ts AS q ON t.symbol = q.symbol WHERE t.price > 10 AND q.bid > 1

-- The keys may be computed, and there may be several; the time of a window of the right side.
SELECT t.id, q.window_start, q.n FROM trades t ASOF LEFT JOIN (SELECT window_start, symbol, count(*) AS n FROM TUMBLE(quotes, at, INTERVAL '10 seconds') GROUP BY window_start, window_end, symbol) q ON upper(t.symbol) = upper(q.symbol) AND t.ts BETWEEN q.window_start + INTERVAL '10 seconds' AND q.window_start + INTERVAL '1 minute' WHERE t.id < 11

-- A window over what comes out.
-- view joined
SELECT t.ts, t.symbol, q.bid FROM trades t ASOF JOIN quotes q ON q.symbol = t.symbol AND q.at <= t.ts AND q.at > t.ts - INTERVAL '1 minute'
-- view v
SELECT window_start, symbol, count(*) AS n, max(bid) AS bid FROM TUMBLE(joined, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, symbol

-- The same rows on both sides: each with the one before.
SELECT b.id, a.id AS before FROM trades b ASOF JOIN trades a ON a.symbol = b.symbol AND a.ts < b.ts AND a.ts >= b.ts - INTERVAL '1 hour'

-- Two joins.
SELECT t.id, q.bid, p.id AS other FROM trades t ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.at AND t.ts <= q.at + INTERVAL '1 minute' ASOF LEFT JOIN trades p ON p.ts <= t.ts - INTERVAL '1 second' AND p.ts >= t.ts - INTERVAL '5 seconds'
