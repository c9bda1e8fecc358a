-- Begins an upload, unless its owner has too many. $1 the fields, $2 how many
-- there may be, $3 how many bytes they may have together. Says why not.
WITH given AS MATERIALIZED (
    SELECT $1::jsonb AS f
), asked AS MATERIALIZED (
    SELECT f, storage_engine.tus_refusal(
        coalesce(f ->> 'owner', current_setting('storage_engine.caller')),
        coalesce((f ->> 'length')::numeric, (f ->> 'most')::numeric), $2::bigint, $3::numeric
    ) AS why
    FROM given
), begun AS (
    INSERT INTO storage_engine.tus_uploads
        (id, blob, kind, begun_by, bucket_id, name, concat, metadata, upsert, owner_id, length, most, expires_at)
    SELECT f ->> 'id', (f ->> 'blob')::uuid, f ->> 'kind', current_setting('storage_engine.caller'), f ->> 'bucket',
        f ->> 'name', f ->> 'concat', f ->> 'metadata', (f ->> 'upsert')::boolean, f ->> 'owner',
        (f ->> 'length')::bigint, (f ->> 'most')::bigint, (f ->> 'expires_at')::timestamptz
    FROM asked
    WHERE why IS NULL
)
SELECT why FROM asked
