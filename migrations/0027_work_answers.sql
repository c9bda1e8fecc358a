-- Why: a person answers what a job asked. The answer has to satisfy the form,
-- a JSON Schema. The server checks all of it before it calls `answer`; the part
-- here is what nobody can go around, `supabase.rpc` included: types, required
-- properties, enumerations and bounds, in every depth.
-- Lock impact: none; only functions and a view are made.

-- What is wrong with `answer` by the part of JSON Schema that is known here,
-- or null: type, enum, const, required, properties, additionalProperties:
-- false, items, minimum, maximum, minLength, maxLength, minItems, maxItems.
-- Other keywords are the server's.
CREATE FUNCTION work_engine.form_problem(form jsonb, answer jsonb, path text DEFAULT '', depth integer DEFAULT 0)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text := jsonb_typeof(answer);
    place text := CASE path WHEN '' THEN 'the answer' ELSE format('"%s"', ltrim(path, '/')) END;
    wanted text;
    part record;
    problem text;
BEGIN
    -- No form that people fill in is deeper.
    IF form IS NULL OR jsonb_typeof(form) <> 'object' OR depth > 16 THEN
        RETURN CASE WHEN form = 'false' THEN place || ' is not wanted' END;
    ELSIF answer IS NULL THEN
        RETURN place || ' is missing';
    END IF;
    SELECT string_agg(t.word, ' or ') INTO wanted
    FROM jsonb_array_elements_text(
        CASE jsonb_typeof(form -> 'type') WHEN 'array' THEN form -> 'type' WHEN 'string' THEN jsonb_build_array(form -> 'type') ELSE '[]' END
    ) AS t (word);
    IF wanted IS NOT NULL AND NOT kind = ANY (string_to_array(wanted, ' or '))
        AND NOT ('integer' = ANY (string_to_array(wanted, ' or ')) AND kind = 'number' AND answer::text::numeric % 1 = 0) THEN
        RETURN format('%s is no %s', place, wanted);
    ELSIF jsonb_typeof(form -> 'enum') = 'array' AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(form -> 'enum') AS e (value) WHERE e.value = answer) THEN
        RETURN format('%s is none of %s', place, left((form -> 'enum')::text, 200));
    ELSIF form ? 'const' AND form -> 'const' <> answer THEN
        RETURN format('%s is not %s', place, left((form -> 'const')::text, 200));
    END IF;
    IF kind = 'number' THEN
        problem := CASE
            WHEN answer::text::numeric < work_engine.form_bound(form, 'minimum') THEN 'below ' || (form ->> 'minimum')
            WHEN answer::text::numeric > work_engine.form_bound(form, 'maximum') THEN 'above ' || (form ->> 'maximum')
        END;
    ELSIF kind = 'string' THEN
        problem := CASE
            WHEN char_length(answer #>> '{}') < work_engine.form_bound(form, 'minLength') THEN 'too short'
            WHEN char_length(answer #>> '{}') > work_engine.form_bound(form, 'maxLength') THEN 'too long'
        END;
    ELSIF kind = 'array' THEN
        problem := CASE
            WHEN jsonb_array_length(answer) < work_engine.form_bound(form, 'minItems') THEN 'too short'
            WHEN jsonb_array_length(answer) > work_engine.form_bound(form, 'maxItems') THEN 'too long'
        END;
    END IF;
    IF problem IS NOT NULL THEN
        RETURN format('%s is %s', place, problem);
    END IF;
    FOR part IN
        SELECT r.name, NULL::jsonb AS form, NULL::jsonb AS value
        FROM jsonb_array_elements_text(CASE WHEN kind = 'object' AND jsonb_typeof(form -> 'required') = 'array' THEN form -> 'required' ELSE '[]' END) AS r (name)
        WHERE NOT answer ? r.name
        UNION ALL
        SELECT v.key, coalesce(
                CASE WHEN jsonb_typeof(form -> 'properties') = 'object' THEN form -> 'properties' -> v.key END,
                -- With patterns a name may be meant that is not spelled out.
                CASE WHEN form ? 'patternProperties' THEN 'true' ELSE form -> 'additionalProperties' END), v.value
        FROM jsonb_each(CASE kind WHEN 'object' THEN answer ELSE '{}' END) AS v
        UNION ALL
        SELECT (i.n - 1)::text, form -> 'items', i.value
        FROM jsonb_array_elements(CASE WHEN kind = 'array' AND NOT form ? 'prefixItems' THEN answer ELSE '[]' END) WITH ORDINALITY AS i (value, n)
    LOOP
        problem := CASE
            WHEN part.value IS NULL THEN format('"%s" is missing', ltrim(path || '/' || part.name, '/'))
            ELSE work_engine.form_problem(part.form, part.value, path || '/' || part.name, depth + 1)
        END;
        IF problem IS NOT NULL THEN
            RETURN problem;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;

-- A bound of a form, where it is a number.
CREATE FUNCTION work_engine.form_bound(form jsonb, name text)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE jsonb_typeof(form -> name) WHEN 'number' THEN (form ->> name)::numeric END $$;

-- Answers what a job asked. The same answer again changes nothing; another
-- one, or one to what is over, is a conflict.
CREATE FUNCTION work_engine.answer(approval uuid, answer jsonb, by text, OUT job_id uuid, OUT step_key text, OUT state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a work.approvals;
    problem text;
BEGIN
    -- What a person types; files belong into storage.
    IF octet_length(answer::text) > 262144 THEN
        PERFORM work_engine.refuse(413, 'too_large', 'an answer has at most 256 KiB');
    END IF;
    SELECT t.* INTO a FROM work.approvals AS t WHERE t.id = answer.approval;
    IF NOT FOUND THEN
        PERFORM work_engine.refuse(404, 'not_found', 'no such approval');
    END IF;
    IF a.budget_unit IS NOT NULL THEN
        -- Budgets come before jobs and jobs before approvals, wherever several
        -- are locked: this lock alone keeps two answers apart.
        PERFORM FROM work.budgets AS t WHERE t.job_id = a.job_id AND t.unit = a.budget_unit FOR UPDATE;
    ELSE
        PERFORM FROM work.jobs AS j WHERE j.id = a.job_id FOR NO KEY UPDATE;
    END IF;
    SELECT t.* INTO a FROM work.approvals AS t WHERE t.id = answer.approval;
    job_id := a.job_id;
    step_key := a.step_key;
    state := 'answered';
    IF a.state = 'answered' AND a.answer = answer.answer AND a.answered_by IS NOT DISTINCT FROM answer.by THEN
        RETURN;
    ELSIF a.state <> 'pending' THEN
        PERFORM work_engine.refuse(409, 'conflict', format('the approval is %s', a.state));
    END IF;
    problem := work_engine.form_problem(coalesce(a.form, 'true'), coalesce(answer.answer, 'null'));
    IF problem IS NOT NULL THEN
        PERFORM work_engine.refuse(422, 'invalid', problem);
    END IF;
    IF a.budget_unit IS NOT NULL THEN
        PERFORM work_engine.set_budget(a.job_id, a.budget_unit, (answer.answer ->> 'cap')::numeric);
    END IF;
    UPDATE work.approvals AS t
    SET state = 'answered', answer = coalesce(answer.answer, 'null'), answered_by = answer.by, answered_at = clock_timestamp()
    WHERE t.id = a.id;
    PERFORM work_engine.note(a.job_id, 'approval.answered', jsonb_strip_nulls(jsonb_build_object(
        'approval_id', a.id, 'key', a.step_key, 'by', answer.by)));
    IF a.budget_unit IS NOT NULL THEN
        RETURN;
    END IF;
    UPDATE work.steps AS s
    SET state = 'done', finished_at = clock_timestamp(),
        result = jsonb_build_object('answer', coalesce(answer.answer, 'null'), 'by', answer.by)
    WHERE s.job_id = a.job_id AND s.key = a.step_key AND s.kind = 'approval' AND s.state = 'waiting';
    PERFORM work_engine.wake(ARRAY[a.job_id]);
END;
$$;
COMMENT ON FUNCTION work_engine.answer(uuid, jsonb, text) IS 'Answers an approval; its job goes on.';

-- Everything that waits and what for, as far as the reader may see it.
CREATE VIEW work.waiting WITH (security_invoker = true) AS
    SELECT s.job_id, s.key, s.kind, s.target AS name, s.due_at, s.started_at AS since, a.id AS approval_id, a.prompt, a.assignee
    FROM work.steps AS s
    JOIN work.jobs AS j ON j.id = s.job_id
    LEFT JOIN work.approvals AS a ON a.job_id = s.job_id AND a.step_key = s.key AND a.state = 'pending'
    WHERE s.state = 'waiting' AND s.epoch = j.epoch AND j.state IN ('running', 'paused')
    UNION ALL
    SELECT j.id, NULL, j.waiting_on,
        CASE j.waiting_on WHEN 'limit' THEN coalesce(j.limited_by, j.limit_keys[1]) ELSE j.reason END, j.run_at, j.updated_at, NULL, NULL, NULL
    FROM work.jobs AS j
    WHERE j.state = 'queued' AND j.waiting_on IS NOT NULL
    UNION ALL
    SELECT j.id, NULL, 'paused', j.reason, NULL, j.updated_at, NULL, NULL, NULL
    FROM work.jobs AS j
    WHERE j.state = 'paused';
COMMENT ON VIEW work.waiting IS 'What jobs wait for: steps, dependencies, limits, times and pauses.';
SELECT ferrobase.attempt('view of what waits for callers', 'what jobs wait for cannot be listed',
    'GRANT SELECT ON work.waiting TO authenticated, service_role');

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA work_engine FROM PUBLIC;
SELECT work_engine.admit();
