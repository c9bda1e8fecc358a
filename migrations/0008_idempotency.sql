-- Why: answers of writes that came with an Idempotency-Key, so that a retry is
-- answered instead of carried out again. A row is written by the transaction
-- whose answer it holds. What it holds is sealed by the server, with a secret
-- that is not in the database: whoever could write here still could not make
-- up an answer, and whoever could read here could read none. Callers' roles
-- reach neither the table nor the functions; the server calls the functions as
-- the role it connects with, before and after it becomes the caller.
-- Lock impact: creates new objects only; no existing relation is locked.

CREATE TABLE ferrobase.idempotency_keys (
    id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    answer bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ferrobase.idempotency_keys IS 'Sealed answers of writes with an Idempotency-Key, kept for 24 hours.';
COMMENT ON COLUMN ferrobase.idempotency_keys.id IS 'SHA-256 of role, subject and key.';
COMMENT ON COLUMN ferrobase.idempotency_keys.salt IS 'With the server''s secret and the id: the key that opens the answer.';

ALTER TABLE ferrobase.idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE INDEX idempotency_keys_kept_at ON ferrobase.idempotency_keys (kept_at);

-- Until when an answer counts.
CREATE FUNCTION ferrobase.idempotency_horizon()
RETURNS timestamptz
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT clock_timestamp() - interval '24 hours' $$;

-- What was answered under this key, if anything. Holds the key until the
-- transaction ends: whoever comes with the same key meanwhile waits here, for
-- five seconds at most, and then finds the answer. Shorter than the time limit
-- of the connecting role's statements, so that the wait ends with a lock
-- timeout, which says why.
CREATE FUNCTION ferrobase.idempotency_find(key bytea)
RETURNS TABLE (salt bytea, answer bytea)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(('x' || encode(substr(key, 1, 8), 'hex'))::bit(64)::bigint);
    RETURN QUERY
        SELECT kept.salt, kept.answer
        FROM ferrobase.idempotency_keys AS kept
        WHERE kept.id = key AND kept.kept_at > ferrobase.idempotency_horizon();
END;
$$;

-- Keeps an answer; one that has had its time gives way.
CREATE FUNCTION ferrobase.idempotency_keep(key bytea, new_salt bytea, new_answer bytea)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO ferrobase.idempotency_keys AS kept (id, salt, answer)
    VALUES (key, new_salt, new_answer)
    ON CONFLICT (id) DO UPDATE
    SET salt = excluded.salt, answer = excluded.answer, kept_at = excluded.kept_at
    WHERE kept.kept_at <= ferrobase.idempotency_horizon();
    IF NOT FOUND THEN
        -- Under REPEATABLE READ the search does not see what was committed
        -- while it waited. As with every such conflict, the client comes again.
        RAISE serialization_failure USING MESSAGE = 'the idempotency key was used at the same time';
    END IF;
END;
$$;

-- Removes some of what has had its time, and says how many.
CREATE FUNCTION ferrobase.idempotency_prune(most integer)
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM ferrobase.idempotency_keys AS kept
        WHERE kept.id IN (
            SELECT old.id
            FROM ferrobase.idempotency_keys AS old
            WHERE old.kept_at <= ferrobase.idempotency_horizon()
            ORDER BY old.kept_at
            LIMIT most
            FOR UPDATE SKIP LOCKED
        )
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ferrobase FROM PUBLIC;
SELECT ferrobase.attempt('idempotency keys', 'requests with an Idempotency-Key are refused', $$
    GRANT USAGE ON SCHEMA ferrobase TO authenticator;
    GRANT EXECUTE ON FUNCTION
        ferrobase.idempotency_find(bytea),
        ferrobase.idempotency_keep(bytea, bytea, bytea),
        ferrobase.idempotency_prune(integer)
    TO authenticator
$$);
SELECT ferrobase.attempt('idempotency keys for postgres', 'postgres cannot dump schema ferrobase', $$
    GRANT SELECT ON ferrobase.idempotency_keys TO postgres
$$);
