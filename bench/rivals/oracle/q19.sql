-- Of bids with one price any may come first, and any of the last price be left out.
-- key: auction, place
-- choice: bidder, channel, url, date_time, extra
SELECT auction, bidder, price, channel, url, date_time, extra, place
FROM (SELECT bid.*, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM bid) AS ranked
WHERE place <= 10
