-- What ended jobs left behind: reservations, and limits of maps that are gone.
SELECT work_engine.release_reserved($1::integer) + work_engine.drop_widths($1::integer)
