-- Appends for many writers in one transaction. Called by `append::Appender`.
SELECT ordinal, next_n, fresh, problem, left_over
FROM work_engine.append_batch(
    $1::uuid[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::integer[], $7::integer[],
    $8::integer[], $9::text[], $10::jsonb[])
