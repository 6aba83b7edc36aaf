-- A join with a bounded table: its file source cannot be looked up (`FOR SYSTEM_TIME AS OF`).
SELECT b.auction, b.bidder, b.price, b.ts AS date_time, s.`value`
FROM bid AS b JOIN side_input AS s ON MOD(b.auction, 10000) = s.`key`
