-- Purpose: whether the caller has this session; runs as the caller.
-- Callers: store.rs.
SELECT 1 FROM work.sessions WHERE id = $1::uuid
