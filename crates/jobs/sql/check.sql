-- What must hold and does not.
SELECT problem, id FROM work_engine.check() LIMIT 100
