-- A duty: some of what is due, and how much that was.
SELECT work_engine.rescue($1::integer)
