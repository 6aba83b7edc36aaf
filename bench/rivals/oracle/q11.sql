SELECT bidder, count(*) AS bids, min(date_time) AS window_start, max(date_time) + 10000 AS window_end
FROM (
  SELECT bidder, date_time, sum(begins) OVER (PARTITION BY bidder ORDER BY date_time ROWS UNBOUNDED PRECEDING) AS session
  FROM (
    SELECT bidder, date_time,
           CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time) < 10000 THEN 0 ELSE 1 END AS begins
    FROM bid
  ) AS gaps
) AS sessions
GROUP BY bidder, session
