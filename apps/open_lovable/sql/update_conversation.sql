-- Gives a session another topic, and merges preferences into those it has. $1
-- session, $2 topic or null, $3 preferences.
UPDATE work.sessions AS s
SET title = coalesce($2::text, s.title),
    metadata = s.metadata || jsonb_build_object('userPreferences',
        CASE WHEN jsonb_typeof(s.metadata -> 'userPreferences') = 'object' THEN s.metadata -> 'userPreferences' ELSE '{}' END || $3::jsonb)
WHERE s.id = $1::uuid
RETURNING s.id
