-- Begins a step, or says that it is done already.
SELECT verdict, result, handle, idempotency_token
FROM work_engine.step_begin($1::uuid, $2::integer, $3::text, $4::text, $5::bytea, $6::text, $7::numeric, $8::boolean)
