-- Begins an upload. $1 the fields.
INSERT INTO storage_engine.tus_uploads
    (id, blob, kind, begun_by, bucket_id, name, concat, metadata, upsert, owner_id, length, most, expires_at)
SELECT f ->> 'id', (f ->> 'blob')::uuid, f ->> 'kind', current_setting('storage_engine.caller'), f ->> 'bucket',
    f ->> 'name', f ->> 'concat', f ->> 'metadata', (f ->> 'upsert')::boolean, f ->> 'owner', (f ->> 'length')::bigint,
    (f ->> 'most')::bigint, (f ->> 'expires_at')::timestamptz
FROM (SELECT $1::jsonb AS f) AS g
