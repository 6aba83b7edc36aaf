-- input trades {"id":"int64","symbol":"string","price":"float64","ts":"timestamp","at":"timestamp"} time ts delay 2000000
-- input quotes {"symbol":"string","bid":"float64","ts":"timestamp","at":"timestamp"} time ts delay 3000000
-- input plain {"symbol":"string","at":"timestamp"}
-- lookup devices {"name":"string"}
-- lookup alive {"name":"string"} live

-- Nothing says when a row may go.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts

SELECT t.id, q.bid FROM trades t LEFT JOIN quotes FOR SYSTEM_TIME AS OF t.ts AS q ON t.symbol = q.symbol

-- The bound is in the condition, and then `state_ttl` means nothing.
-- view v ttl 1000000
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'

-- No event time.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.at >= q.ts

SELECT t.id, q.at FROM trades t ASOF JOIN plain q ON t.symbol = q.symbol AND t.ts >= q.at

SELECT t.id, q.bid FROM trades t JOIN quotes FOR SYSTEM_TIME AS OF t.at AS q ON t.symbol = q.symbol

SELECT t.id, q.bid FROM trades t JOIN quotes FOR SYSTEM_TIME AS OF PROCTIME() AS q ON t.symbol = q.symbol

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol

-- Which row is meant.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts <= q.ts

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts - INTERVAL '5 seconds' AND t.ts < q.ts + INTERVAL '1 hour'

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts + INTERVAL '2 hours' AND t.ts < q.ts + INTERVAL '1 hour'

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 month'

-- Other conditions.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour' AND q.bid > 1

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.price > q.bid

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts OR t.id = 3

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q USING (symbol, ts)

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION (t.ts >= q.ts) USING (symbol)

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION t.ts >= q.ts

-- Other kinds.
SELECT t.id, q.bid FROM trades t ASOF RIGHT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts

SELECT t.id, q.bid FROM trades t FULL JOIN quotes FOR SYSTEM_TIME AS OF t.ts q ON t.symbol = q.symbol

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q WHERE t.ts >= q.ts

SELECT id FROM trades FOR SYSTEM_TIME AS OF ts

SELECT t.id, q.name FROM trades t ASOF JOIN devices q ON q.key = t.symbol AND t.ts >= q.ts

SELECT t.id, q.bid FROM (SELECT t.id, t.ts, a.name FROM trades t LEFT JOIN alive a ON a.key = t.symbol) t ASOF JOIN quotes q ON q.symbol = t.name AND q.ts BETWEEN t.ts - INTERVAL '1 minute' AND t.ts

-- view counts lateness 1000000
SELECT window_time, symbol, count(*) AS n FROM TUMBLE(quotes, ts, INTERVAL '1 second') GROUP BY window_time, symbol
-- view v
SELECT t.id, q.n FROM trades t ASOF JOIN counts q ON t.symbol = q.symbol AND q.window_time BETWEEN t.ts - INTERVAL '1 minute' AND t.ts

-- Names that are not there, and types that do not fit.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.sybmol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.ts = q.bid AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'

-- A column may be called so.
SELECT asof.id AS asof FROM trades asof
