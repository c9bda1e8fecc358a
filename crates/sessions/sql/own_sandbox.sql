-- A sandbox that runs here, as the caller sees it. $1 its provider's id, $2 its
-- session or null. By sandboxes_own.
SELECT to_jsonb(b), s.owner IS NULL, s.owner
FROM work.sandboxes AS b JOIN work.sessions AS s ON s.id = b.session_id
WHERE b.sandbox_id = $1::text AND b.kind = 'own' AND s.status <> 'deleted'
  AND ($2::uuid IS NULL OR b.session_id = $2::uuid)
