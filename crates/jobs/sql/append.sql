-- Tells streams what happened.
SELECT work_engine.append($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[])
