-- One job as a document, for whoever may see it. Inputs and outputs are in it.
SELECT to_jsonb(j) - ARRAY['input_hash', 'sort_key'] AS job
FROM work.jobs AS j
WHERE j.id = $1::uuid AND ($2::boolean OR j.owner = $3::text)
