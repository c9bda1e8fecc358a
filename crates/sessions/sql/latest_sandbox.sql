-- The newest sandbox of a session that is not over, of those that run here. $1
-- session. By sandboxes_provider.
SELECT b.sandbox_id FROM work.sandboxes AS b
WHERE b.session_id = $1::uuid AND b.kind = 'own' AND b.status IN ('active', 'paused')
ORDER BY b.created_at DESC, b.id DESC LIMIT 1
