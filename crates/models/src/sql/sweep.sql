-- Purpose: gives back what calls of servers that died had reserved.
-- Callers: store.rs.
SELECT ai_engine.sweep($1::integer)
