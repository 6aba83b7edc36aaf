SELECT bidder, count(*) AS bids, date_time - date_time % 10000 AS window_start, date_time - date_time % 10000 + 10000 AS window_end
FROM bid
GROUP BY bidder, date_time - date_time % 10000
