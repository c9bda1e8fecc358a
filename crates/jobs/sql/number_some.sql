-- A duty: some of what is due, and how much that was.
SELECT work_engine.number_some($1::integer)
