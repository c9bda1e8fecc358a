-- Ends claims that were completed: null when all of them were, which is nearly
-- always; otherwise those that were, since the rest was stale. And whether that
-- concerns others.
SELECT CASE WHEN cardinality(d.ended) = cardinality($1::uuid[]) THEN NULL ELSE coalesce(array_to_string(d.ended, ','), '') END, d.stirred
FROM work_engine.complete_all($1::uuid[], $2::integer[], $3::jsonb[]) AS d
