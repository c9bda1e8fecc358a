-- What must hold and does not.
SELECT problem, id FROM work_engine.check()
UNION ALL
SELECT problem, id FROM work_engine.check_waits()
UNION ALL
SELECT problem, id FROM work_engine.check_hot()
LIMIT 100
