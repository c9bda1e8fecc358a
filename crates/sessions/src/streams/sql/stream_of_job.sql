-- As the caller: where the events of a job are.
SELECT stream_id FROM work.jobs WHERE id = $1::uuid
