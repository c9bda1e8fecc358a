-- Takes object $1 away if it still has version $2: its bytes are lost. Asked by fsck.
DELETE FROM storage.objects AS o
WHERE o.id = $1::uuid AND coalesce(o.version, '') = $2
