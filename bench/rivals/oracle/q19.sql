-- Of bids with one price any may come first, and any of the last price be left out.
-- choice: bidder, channel, url, date_time, extra
SELECT auction, bidder, price, channel, url, date_time, extra, place
FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM bid)
WHERE place <= 10
