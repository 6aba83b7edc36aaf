-- What follows `https://www.nexmark.com/`, up to the third `/`.
SELECT auction, bidder, price, channel,
       substr(one, 1, instr(one, '/') - 1) AS dir1, substr(two, 1, instr(two, '/') - 1) AS dir2, substr(three, 1, instr(three, '/') - 1) AS dir3
FROM (SELECT *, substr(two, instr(two, '/') + 1) AS three
      FROM (SELECT *, substr(one, instr(one, '/') + 1) AS two
            FROM (SELECT bid.*, substr(url, 25) AS one FROM bid) AS a) AS b) AS c
