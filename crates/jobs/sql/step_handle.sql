-- Keeps the provider's word for work in progress there.
SELECT done::text FROM work_engine.step_handle($1::uuid, $2::integer, $3::text, $4::jsonb) AS done
