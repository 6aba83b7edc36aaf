def query(read):
    bid = read("bid", "auction bidder price channel url date_time extra")
    auction = read("auction", "id_ item_name description initial_bid reserve date_time expires seller category extra")
    auction = auction.filter(auction.category == 10)
    return bid.join(auction, bid.auction == auction.id_).select(
        bid.auction,
        bid.bidder,
        bid.price,
        bid.channel,
        bid.url,
        auction.item_name,
        auction.description,
        auction.initial_bid,
        auction.reserve,
        auction.date_time,
        auction.expires,
        auction.seller,
        auction.category,
        auction.extra,
        bid_date_time=bid.date_time,
        bid_extra=bid.extra,
    )
