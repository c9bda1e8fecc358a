-- Purpose: reserves for a model at another price; says which budget refuses.
-- Callers: store.rs.
SELECT ai_engine.hold_more($1::uuid, $2::integer, $3::numeric, $4::bigint, $5::numeric, $6::bigint)
