-- Of a person's bids for an auction in one moment any may be the last.
-- key: bidder, auction
-- choice: price, channel, url, extra
SELECT auction, bidder, price, channel, url, date_time, extra
FROM (SELECT bid.*, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) AS place FROM bid) AS ranked
WHERE place = 1
