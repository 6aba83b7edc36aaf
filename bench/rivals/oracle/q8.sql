SELECT p.id, p.name, p.w AS window_start, p.w + 10000 AS window_end
FROM (SELECT DISTINCT id, name, date_time - date_time % 10000 AS w FROM person) p
JOIN (SELECT DISTINCT seller, date_time - date_time % 10000 AS w FROM auction) a ON p.id = a.seller AND p.w = a.w
