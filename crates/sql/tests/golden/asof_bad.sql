-- input trades {"id":"int64","symbol":"string","price":"float64","ts":"timestamp","at":"timestamp"} time ts delay 2000000
-- input quotes {"symbol":"string","bid":"float64","ts":"timestamp","at":"timestamp"} time ts delay 3000000
-- input plain {"symbol":"string","at":"timestamp"}
-- lookup devices {"name":"string"}
-- lookup alive {"name":"string"} live

-- Nothing says when a row may go.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts
-- error v: 1:39 the latest row of each key would be kept for ever, since nothing says how old it may be
--  fix: add `AND t.ts <= q.ts + INTERVAL '1 hour'` to the condition, or `state_ttl` to the view

SELECT t.id, q.bid FROM trades t LEFT JOIN quotes FOR SYSTEM_TIME AS OF t.ts AS q ON t.symbol = q.symbol
-- error v: 1:39 the latest row of each key would be kept for ever, since nothing says how old it may be
--  fix: add `AND t.ts <= q.ts + INTERVAL '1 hour'` to the condition, or `state_ttl` to the view

-- The bound is in the condition, and then `state_ttl` means nothing.
-- view v ttl 1000000
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'
-- error v: the view has `state_ttl`, and keeps nothing that would grow for ever without it
--  fix: leave it out

-- No event time.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.at >= q.ts
-- error v: 1:39 `t.at >= q.ts` does not compare the event times of both sides
--  fix: compare `t.ts` with `q.ts`; put other conditions on the left rows into `WHERE`, and on the right ones into a `SELECT` there

SELECT t.id, q.at FROM trades t ASOF JOIN plain q ON t.symbol = q.symbol AND t.ts >= q.at
-- error v: 1:38 `t.ts >= q.at` does not compare the event times of both sides
--  fix: declare `event_time` at its source, and have views give that column as it is

SELECT t.id, q.bid FROM trades t JOIN quotes FOR SYSTEM_TIME AS OF t.at AS q ON t.symbol = q.symbol
-- error v: 1:34 `at` is no event time of the left side
--  fix: use `t.ts`

SELECT t.id, q.bid FROM trades t JOIN quotes FOR SYSTEM_TIME AS OF PROCTIME() AS q ON t.symbol = q.symbol
-- error v: 1:46 `FOR SYSTEM_TIME AS OF` needs the event time of the rows on the left
--  fix: write the column: `FOR SYSTEM_TIME AS OF t.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol
-- error v: 1:39 a join as of event time has to compare the event times of both sides
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

-- Which row is meant.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts <= q.ts
-- error v: 1:39 the next row, `q.ts` at or after `t.ts`, is not yet possible: only the latest before
--  fix: write `t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts - INTERVAL '5 seconds' AND t.ts < q.ts + INTERVAL '1 hour'
-- error v: 1:39 `q.ts` may be up to 5 seconds after `t.ts`, and the latest row is one at or before
--  fix: write `t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts + INTERVAL '2 hours' AND t.ts < q.ts + INTERVAL '1 hour'
-- error v: 1:39 no row could match: `q.ts` would have to be at least 2 hours before `t.ts`, and less than 1 hour at the same time
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 month'
-- error v: 1:39 `INTERVAL '1 month'` is no fixed span: months differ in length
--  fix: write it in days: `INTERVAL '30 days'`

-- Other conditions.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour' AND q.bid > 1
-- error v: 1:39 `q.bid > 1` does not compare the event times of both sides
--  fix: compare `t.ts` with `q.ts`; put other conditions on the left rows into `WHERE`, and on the right ones into a `SELECT` there

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts AND t.price > q.bid
-- error v: 1:39 `t.price > q.bid` does not compare the event times of both sides
--  fix: compare `t.ts` with `q.ts`; put other conditions on the left rows into `WHERE`, and on the right ones into a `SELECT` there

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts OR t.id = 3
-- error v: 1:39 `OR` in a join as of event time is not possible: the latest row is found by equal keys
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q USING (symbol, ts)
-- error v: 1:53 `USING` does not say which of the columns is the event time
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION (t.ts >= q.ts) USING (symbol)
-- error v: 1:84 `USING` does not say which of the columns is the event time
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q MATCH_CONDITION t.ts >= q.ts
-- error v: 1:53 `MATCH_CONDITION` needs its condition in brackets
--  fix: write `MATCH_CONDITION (t.ts >= q.ts)`

-- Other kinds.
SELECT t.id, q.bid FROM trades t ASOF RIGHT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts
-- error v: 1:34 a join as of event time goes from the rows of its left side, each of which has one match at most
--  fix: write `ASOF JOIN` or `ASOF LEFT JOIN`, with the sides the other way round if need be

SELECT t.id, q.bid FROM trades t FULL JOIN quotes FOR SYSTEM_TIME AS OF t.ts q ON t.symbol = q.symbol
-- error v: 1:51 a join as of event time goes from the rows of its left side, each of which has one match at most
--  fix: write `ASOF JOIN` or `ASOF LEFT JOIN`, with the sides the other way round if need be

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q WHERE t.ts >= q.ts
-- error v: 1:34 a join as of event time needs `ON`
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT id FROM trades FOR SYSTEM_TIME AS OF ts
-- error v: 1:23 `FOR SYSTEM_TIME AS OF` stands behind no table that is joined
--  fix: write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`

SELECT t.id, q.name FROM trades t ASOF JOIN devices q ON q.key = t.symbol AND t.ts >= q.ts
-- error v: 1:40 `devices` is a lookup: what it answers has no event time
--  fix: write `… LEFT JOIN devices ON devices.key = …`

SELECT t.id, q.bid FROM (SELECT t.id, t.ts, a.name FROM trades t LEFT JOIN alive a ON a.key = t.symbol) t ASOF JOIN quotes q ON q.symbol = t.name AND q.ts BETWEEN t.ts - INTERVAL '1 minute' AND t.ts
-- error v: 1:71 the answers of `alive` are not recorded, so its state could not be made again of the same rows
--  fix: have the lookup `alive` record its answers, or join it to the rows that windows give

-- view counts lateness 1000000
SELECT window_time, symbol, count(*) AS n FROM TUMBLE(quotes, ts, INTERVAL '1 second') GROUP BY window_time, symbol
-- view v
SELECT t.id, q.n FROM trades t ASOF JOIN counts q ON t.symbol = q.symbol AND q.window_time BETWEEN t.ts - INTERVAL '1 minute' AND t.ts
-- error v: 1:37 a join as of event time is not possible over rows that are given anew, each in place of one before: a row and the one in its place would both be rows of their time
--  fix: do this where the rows are stored; or have each row given once: by windows of event time, without `allowed_lateness`

-- Names that are not there, and types that do not fit.
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.symbol = q.sybmol AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'
-- error v: 1:67 there is no column `sybmol` in `q`
--  fix: did you mean `symbol`? known: `id`, `symbol`, `price`, `ts`, `at`, `symbol`, `bid`, `ts`, `at`

SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.ts = q.bid AND t.ts >= q.ts AND t.ts < q.ts + INTERVAL '1 hour'
-- error v: 1:56 `t.ts = q.bid` cannot be computed: there is no `timestamp = float64`
--  fix: cast one side: `CAST(… AS …)`

-- A column may be called so.
SELECT t.asof FROM (SELECT id AS asof FROM trades) t
-- columns asof Int64?
-- plan scan trades (id)
-- plan   project id AS asof
-- account in 0 + made 0 = out 0 + filtered 0 + set aside 0
