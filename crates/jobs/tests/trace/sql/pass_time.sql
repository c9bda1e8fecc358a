-- Lets time pass without waiting: what is due comes nearer by $MS.
UPDATE work.jobs SET
    lease_until = lease_until - $MS * interval '1 ms', run_at = run_at - $MS * interval '1 ms',
    deadline_at = deadline_at - $MS * interval '1 ms', started_at = started_at - $MS * interval '1 ms';
UPDATE work.steps SET due_at = due_at - $MS * interval '1 ms', started_at = started_at - $MS * interval '1 ms';
