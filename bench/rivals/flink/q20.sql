SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.ts AS bid_date_time, b.extra AS bid_extra,
       a.item_name, a.description, a.initial_bid, a.reserve, a.ts AS date_time, TO_TIMESTAMP_LTZ(a.expires, 3) AS expires, a.seller, a.category, a.extra
FROM bid AS b JOIN auction AS a ON b.auction = a.id
WHERE a.category = 10
