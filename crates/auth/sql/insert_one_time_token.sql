-- A token's hash; a newer one of its kind replaces it.
INSERT INTO auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
VALUES ($1::uuid, $2::uuid, $3::auth.one_time_token_type, $4, lower($5),
        $6::timestamptz AT TIME ZONE 'utc', $6::timestamptz AT TIME ZONE 'utc')
ON CONFLICT (user_id, token_type)
DO UPDATE SET token_hash = excluded.token_hash, relates_to = excluded.relates_to,
              created_at = excluded.created_at, updated_at = excluded.updated_at
