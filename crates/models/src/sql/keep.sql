-- Purpose: keeps an answer for the same question of the same owner.
-- Callers: store.rs.
INSERT INTO ai.cache AS c (key, owner, answer) VALUES (decode($1, 'hex'), $2, $3::jsonb)
ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, kept_at = excluded.kept_at
