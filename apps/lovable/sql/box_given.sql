-- What the session's box was given last. $1 session. Caller: work::install.
SELECT jsonb_build_object('files', b.files, 'package', b.package) FROM lovable.boxes AS b WHERE b.session_id = $1::uuid
