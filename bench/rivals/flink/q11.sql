-- Bids just ten seconds apart are one session in Flink, and two in the others: so it is a millisecond less here.
SELECT bidder, COUNT(*) AS bids, window_start, window_end + INTERVAL '0.001' SECOND AS window_end
FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(ts), INTERVAL '9.999' SECOND))
GROUP BY bidder, window_start, window_end
