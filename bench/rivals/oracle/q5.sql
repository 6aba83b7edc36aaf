SELECT window_end, auction, n
FROM (
  SELECT window_end, auction, count(*) AS n, row_number() OVER (PARTITION BY window_end ORDER BY count(*) DESC, auction) AS place
  FROM (
    SELECT auction, date_time - date_time % 2000 + 2000 * k AS window_end
    FROM bid CROSS JOIN (SELECT 1 AS k UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) AS five
  ) AS windows
  GROUP BY window_end, auction
) AS ranked
WHERE place = 1
