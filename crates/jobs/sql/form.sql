-- The form of an approval ($1): of anybody ($2), or of who owns or was asked it.
SELECT form FROM work.approvals WHERE id = $1::uuid AND ($2::boolean OR owner = $3::text OR assignee = $3::text)
