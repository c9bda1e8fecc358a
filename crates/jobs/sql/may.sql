-- Whether the asker may see the job: anybody's ($2), or its own.
SELECT stream_id FROM work.jobs WHERE id = $1::uuid AND ($2::boolean OR owner = $3::text)
