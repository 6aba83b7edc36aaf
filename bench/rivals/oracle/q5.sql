SELECT window_end, auction, n
FROM (
  SELECT window_end, auction, count(*) AS n, row_number() OVER (PARTITION BY window_end ORDER BY count(*) DESC, auction) AS place
  FROM (SELECT auction, unnest(range((date_time // 2000 + 1) * 2000, (date_time // 2000 + 6) * 2000, 2000)) AS window_end FROM bid)
  GROUP BY window_end, auction
)
WHERE place = 1
