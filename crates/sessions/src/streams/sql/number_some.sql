-- Numbers events that were left because their stream was locked.
SELECT work_engine.number_some($1::integer)
