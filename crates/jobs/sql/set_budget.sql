-- Makes or changes a budget; what goes on by that.
SELECT b.id, b.state FROM work_engine.set_budget($1::uuid, $2::text, $3::numeric, $4::numeric, $5::text) AS b
