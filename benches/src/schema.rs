//! A schema of five hundred tables, as a grown application has it: keys both
//! ways, views over tables and over joins, functions, policies.

use std::fmt::Write as _;

/// Tables.
pub(crate) const TABLES: usize = 500;

/// One view for each fifth table, and one over a join for each tenth.
const VIEWS: usize = TABLES / 5;
const JOINS: usize = TABLES / 10;

/// Functions that return rows.
const FUNCTIONS: usize = 100;

/// Levels of the nested embed.
const LEVELS: usize = 5;

/// The statements that make it.
pub(crate) fn ddl() -> String {
    let mut sql = String::new();
    for n in 0..TABLES {
        let (parent, other) = (n.saturating_sub(1), n / 2);
        // Writing to a String cannot fail.
        let _ = writeln!(
            sql,
            "CREATE TABLE t{n} (id bigint PRIMARY KEY, owner uuid, name text NOT NULL, status text DEFAULT 'new', \
             amount numeric(12,2), tags text[], data jsonb, created_at timestamptz DEFAULT now(), \
             parent_id bigint REFERENCES t{parent}, other_id bigint REFERENCES t{other});\n\
             ALTER TABLE t{n} ENABLE ROW LEVEL SECURITY;\n\
             CREATE POLICY own ON t{n} USING (true) WITH CHECK (true);"
        );
    }
    for n in 0..VIEWS {
        let _ = writeln!(sql, "CREATE VIEW v{n} AS SELECT * FROM t{};", n * 5);
    }
    for n in 1..=JOINS {
        let of = n * 10 - 1;
        let _ = writeln!(
            sql,
            "CREATE VIEW j{n} AS SELECT a.id, a.name, a.parent_id, b.other_id, b.name AS parent_name, count(*) OVER () AS all_rows \
             FROM t{of} a JOIN t{} b ON b.id = a.parent_id;",
            of - 1
        );
    }
    for n in 0..FUNCTIONS {
        let _ = writeln!(
            sql,
            "CREATE FUNCTION f{n}(since date, how_many int DEFAULT 10) RETURNS SETOF t{n} LANGUAGE sql STABLE \
             AS 'SELECT * FROM t{n} WHERE created_at > since LIMIT how_many';"
        );
    }
    sql
}

/// A read whose embeds go five levels down, each to the parent of the last.
pub(crate) fn nested() -> String {
    let mut select = "id,name".to_owned();
    let first = TABLES - 1 - LEVELS;
    for child in first + 1..=first + LEVELS {
        let parent = child - 1;
        select = format!("id,name,status,t{parent}!t{child}_parent_id_fkey({select})");
    }
    let root = first + LEVELS;
    format!("/t{root}?select={select}&status=eq.new&amount=gte.10&order=created_at.desc&limit=20")
}
