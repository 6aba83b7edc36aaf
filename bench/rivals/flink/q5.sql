-- A window top-N: the plan that Flink's documentation recommends for this, in place of Nexmark's join of counts with their greatest.
SELECT window_end, auction, n
FROM (
  SELECT window_start, window_end, auction, n,
         ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, auction) AS place
  FROM (
    SELECT window_start, window_end, auction, COUNT(*) AS n
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY window_start, window_end, auction
  )
)
WHERE place <= 1
