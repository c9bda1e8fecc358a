-- A session goes; its name is free again, so that who keeps it may begin anew.
-- $1 session. Caller: routes::sessions::delete.
SELECT to_jsonb(lovable.delete_session($1::uuid))
