SELECT auction, bidder, price, date_time AS bid_date_time, extra AS bid_extra FROM bid
