-- Purpose: begins a call: reserves what it may cost, or says why it may not be made.
-- Callers: store.rs.
SELECT id, try, refused, answer FROM ai_engine.begin($1::jsonb)
