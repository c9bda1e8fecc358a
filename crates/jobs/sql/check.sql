-- What must hold and does not.
SELECT problem, id FROM work_engine.check()
UNION ALL
SELECT problem, id FROM work_engine.check_waits()
LIMIT 100
