-- A duty: some of what is due, and how much that was.
SELECT work_engine.arrive_some($1::integer)
