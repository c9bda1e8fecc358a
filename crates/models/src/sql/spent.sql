-- Purpose: what the caller's calls of a session, or all of them, used; runs as the caller.
-- Callers: store.rs.
SELECT jsonb_build_object(
    'calls', count(*), 'cost', coalesce(sum(cost), 0), 'unpriced', count(*) FILTER (WHERE cost IS NULL AND outcome IN ('ok', 'truncated', 'cancelled')),
    'tokens_in', coalesce(sum(tokens_in), 0), 'tokens_out', coalesce(sum(tokens_out), 0))
FROM ai.calls
WHERE ($1::uuid IS NULL OR session_id = $1::uuid) AND started_at > clock_timestamp() - interval '31 days'
