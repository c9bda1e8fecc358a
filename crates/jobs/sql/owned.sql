-- Which of these jobs are the owner's.
SELECT id FROM work.jobs WHERE id = ANY ($1::uuid[]) AND owner = $2::text
