-- What happened, as documents. Conditions follow.
SELECT jsonb_build_object(
    'id', a.id, 'payload', a.payload, 'created_at', to_jsonb(a.created_at), 'ip_address', a.ip_address
)
FROM auth.audit_log_entries AS a
WHERE a.instance_id IS NOT DISTINCT FROM '00000000-0000-0000-0000-000000000000'
