-- One snapshot for all questions of a generation. The search path decides how
-- types are written; it is the one that a Supabase project's owner has, so the
-- same schema gives the same text whoever asks.
-- Callers: typegen::metadata.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = public, extensions;
SET LOCAL jit = off;
