-- Why: what must be true of steps, waits, budgets and limits at every moment,
-- beside what `check` knows of jobs. For tests, and for a look at a live system.
-- Lock impact: none; a function is made.

CREATE FUNCTION work_engine.check_waits()
RETURNS TABLE (problem text, id uuid)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, so one snapshot.
    WITH RECURSIVE below AS (
        SELECT DISTINCT b.job_id AS top, b.job_id AS id FROM work.budgets AS b
        UNION ALL
        SELECT t.top, j.id FROM below AS t JOIN work.jobs AS j ON j.parent_id = t.id
    ),
    held AS (
        SELECT t.top, s.unit, sum(s.reserved) AS amount
        FROM below AS t JOIN work.steps AS s ON s.job_id = t.id
        WHERE s.reserved > 0 GROUP BY t.top, s.unit
    )
    SELECT 'budget does not hold what its steps reserved', b.job_id
    FROM work.budgets AS b LEFT JOIN held AS h ON h.top = b.job_id AND h.unit = b.unit
    WHERE b.unit <> 'calls' AND b.reserved <> coalesce(h.amount, 0)
    UNION ALL
    SELECT 'step holds money and is over', s.job_id
    FROM work.steps AS s WHERE s.reserved > 0 AND s.state NOT IN ('started', 'in_doubt')
    UNION ALL
    SELECT 'more was reserved than the cap', b.job_id
    FROM work.budgets AS b WHERE b.reserved > b.cap AND b.exceeded_at IS NULL
    UNION ALL
    SELECT 'may start without its slots', j.id
    FROM work.jobs AS j CROSS JOIN LATERAL unnest(j.limit_keys) AS k (key)
    WHERE j.limit_keys IS NOT NULL AND j.waiting_on IS NULL AND j.state IN ('queued', 'running')
      AND NOT EXISTS (SELECT FROM work_engine.slots AS s WHERE s.key = k.key AND s.job_id = j.id)
    UNION ALL
    SELECT 'has what it waits for and is not woken', j.id
    FROM work.jobs AS j
    WHERE j.state = 'running' AND j.wait_mode IS NOT NULL AND j.waiting_on IN ('signal', 'approval', 'timer')
      AND work_engine.waits_over(j.id)
    UNION ALL
    SELECT 'asks somebody and waits for no answer', a.job_id
    FROM work.approvals AS a JOIN work.jobs AS j ON j.id = a.job_id
    WHERE a.state = 'pending' AND a.budget_unit IS NULL
      AND (j.state IN ('completed', 'failed', 'cancelled') OR NOT EXISTS (
          SELECT FROM work.steps AS s WHERE s.job_id = a.job_id AND s.key = a.step_key AND s.state = 'waiting'))
    UNION ALL
    SELECT 'waits for an answer and asks nobody', s.job_id
    FROM work.steps AS s JOIN work.jobs AS j ON j.id = s.job_id AND j.epoch = s.epoch
    WHERE s.kind = 'approval' AND s.state = 'waiting' AND j.state = 'running' AND j.waiting_on IS NOT NULL
      AND NOT EXISTS (SELECT FROM work.approvals AS a WHERE a.job_id = s.job_id AND a.step_key = s.key AND a.state = 'pending')
    UNION ALL
    SELECT 'signal was taken by a step that there is not', g.job_id
    FROM work.signals AS g
    WHERE g.taken_by IS NOT NULL AND NOT EXISTS (SELECT FROM work.steps AS s WHERE s.job_id = g.job_id AND s.key = g.taken_by)
$$;
COMMENT ON FUNCTION work_engine.check_waits() IS 'What is wrong with steps, waits, budgets and limits; nothing, if all is well.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
