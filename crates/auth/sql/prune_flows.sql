-- Trips that nobody came back from, a few with each that begins. Callers:
-- Tx::insert_oauth_flow. Index: flow_state_created_at_idx,
-- idx_oauth_client_states_created_at.
WITH old_flows AS (
    DELETE FROM auth.flow_state
    WHERE id IN (
        SELECT id FROM auth.flow_state WHERE created_at < $1::timestamptz - interval '1 day'
        ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED
    )
)
DELETE FROM auth.oauth_client_states
WHERE id IN (
    SELECT id FROM auth.oauth_client_states WHERE created_at < $1::timestamptz - interval '1 day'
    ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED
)
