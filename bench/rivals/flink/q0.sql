SELECT auction, bidder, price, ts AS date_time, extra FROM bid
