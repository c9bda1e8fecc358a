-- Leaves the newest edits and major changes of a session. $1 session, $2 and $3
-- how many of each. Says whether there is such a session.
UPDATE work.sessions AS s
SET metadata = s.metadata
    || CASE WHEN jsonb_typeof(s.metadata -> 'edits') = 'array' THEN jsonb_build_object('edits', (
        SELECT coalesce(jsonb_agg(e.item ORDER BY e.n), '[]')
        FROM jsonb_array_elements(s.metadata -> 'edits') WITH ORDINALITY AS e (item, n)
        WHERE e.n > jsonb_array_length(s.metadata -> 'edits') - $2::integer)) ELSE '{}' END
    || CASE WHEN jsonb_typeof(s.metadata #> '{projectEvolution,majorChanges}') = 'array' THEN jsonb_build_object('projectEvolution',
        (s.metadata -> 'projectEvolution') || jsonb_build_object('majorChanges', (
            SELECT coalesce(jsonb_agg(e.item ORDER BY e.n), '[]')
            FROM jsonb_array_elements(s.metadata #> '{projectEvolution,majorChanges}') WITH ORDINALITY AS e (item, n)
            WHERE e.n > jsonb_array_length(s.metadata #> '{projectEvolution,majorChanges}') - $3::integer))) ELSE '{}' END
WHERE s.id = $1::uuid
RETURNING s.id
