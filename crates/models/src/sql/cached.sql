-- Purpose: the answer that was given to the same question of the same owner.
-- Callers: store.rs.
SELECT answer FROM ai.cache WHERE key = decode($1, 'hex') AND kept_at > clock_timestamp() - $2::interval
