-- AVG of BIGINT is a BIGINT in Flink; the answer is a DOUBLE.
SELECT q.category, AVG(CAST(q.final AS DOUBLE)) AS final
FROM (
  SELECT a.id, a.category, MAX(b.price) AS final
  FROM auction AS a JOIN bid AS b ON a.id = b.auction
  WHERE b.date_time BETWEEN a.date_time AND a.expires
  GROUP BY a.id, a.category
) AS q
GROUP BY q.category
