SELECT bidder, count(*) AS bids, date_time // 10000 * 10000 AS window_start, (date_time // 10000 + 1) * 10000 AS window_end
FROM bid
GROUP BY ALL
