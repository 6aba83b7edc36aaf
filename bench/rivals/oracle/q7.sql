SELECT window_end, price, auction, bidder, extra
FROM (
  SELECT bid.*, date_time - date_time % 10000 + 10000 AS window_end,
         row_number() OVER (PARTITION BY date_time - date_time % 10000 ORDER BY price DESC, date_time, auction) AS place
  FROM bid
) AS ranked
WHERE place = 1
