-- A job and everything below it, without inputs and outputs, parents before
-- their children; at most $4 of them.
WITH RECURSIVE tree AS (
    SELECT j.id, j.depth FROM work.jobs AS j WHERE j.id = $1::uuid AND ($2::boolean OR j.owner = $3::text)
    UNION ALL
    SELECT c.id, c.depth FROM tree JOIN work.jobs AS c ON c.parent_id = tree.id
), shown AS (
    SELECT id FROM tree ORDER BY depth, id LIMIT $4::integer
)
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'id', j.id, 'parent_id', j.parent_id, 'type', j.type, 'name', j.name, 'is_group', j.is_group,
    'state', j.state, 'waiting_on', j.waiting_on, 'reason', j.reason, 'progress', j.progress, 'message', j.message,
    'error', j.error, 'children_total', j.children_total, 'children_open', j.children_open,
    'children_failed', j.children_failed, 'created_at', j.created_at, 'started_at', j.started_at,
    'finished_at', j.finished_at,
    'depends_on', (SELECT jsonb_agg(d.on_id) FROM work.dependencies AS d WHERE d.job_id = j.id)
) ORDER BY j.depth, j.id), '[]')
FROM shown JOIN work.jobs AS j USING (id)
