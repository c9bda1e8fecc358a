-- Purpose: one snapshot for all queries of a load. Without a search path every
-- name comes out with its schema; compiling such short queries would only cost.
-- Callers: catalog::load.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = '';
SET LOCAL jit = off;
