SELECT auction, bidder, 0.908 * price AS price, ts AS date_time, extra FROM bid
