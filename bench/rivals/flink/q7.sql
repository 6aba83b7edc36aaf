-- A window top-N: the plan that Flink's documentation recommends for this, in place of Nexmark's join of bids with the greatest price.
SELECT window_end, price, auction, bidder, extra
FROM (
  SELECT window_end, price, auction, bidder, extra,
         ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC, date_time, auction) AS place
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND))
)
WHERE place <= 1
