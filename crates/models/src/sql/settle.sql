-- Purpose: ends a call: its row in the ledger, its budgets, its answer if it has a token.
-- Callers: store.rs.
SELECT ai_engine.settle($1::uuid, $2::integer, $3::jsonb, $4::bigint, $5::jsonb)
