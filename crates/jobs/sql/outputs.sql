-- What a job's children came to, in the order in which they were made.
SELECT id, name, state, output, error FROM work.jobs WHERE parent_id = $1::uuid ORDER BY id
