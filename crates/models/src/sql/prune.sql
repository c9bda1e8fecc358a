-- Purpose: removes rows, answers and kept answers that have had their time.
-- Callers: store.rs.
SELECT ai_engine.prune($1::integer, $2::interval, $3::interval, $4::interval)
