-- A duty: some of what is due, and how much that was.
SELECT work_engine.grant_limits($1::integer)
