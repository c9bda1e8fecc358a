-- The least that a durable queue needs: what plain SQL does with it is the ceiling.

DROP TABLE IF EXISTS ceiling;
CREATE TABLE ceiling (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL DEFAULT 'queued',
    epoch integer NOT NULL DEFAULT 0,
    worker text,
    lease_until timestamptz,
    input jsonb,
    output jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX ceiling_ready ON ceiling (id) WHERE state = 'queued';
