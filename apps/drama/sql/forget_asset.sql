-- Purpose: ends an asset of the caller's, after its bytes.
-- Callers: apps/drama/src/library.rs.
DELETE FROM drama.assets AS a WHERE a.asset_id = $1::uuid RETURNING a.asset_id
