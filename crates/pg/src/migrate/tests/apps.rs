//! Histories of apps: once, in order, and never another text.

use super::*;

const FIRST: Migration = Migration {
    version: 1,
    name: "shop_goods",
    sql: "CREATE SCHEMA shop; CREATE TABLE shop.goods (id int); ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY",
};
const SECOND: Migration = Migration {
    version: 2,
    name: "shop_price",
    sql: "ALTER TABLE shop.goods ADD COLUMN price int",
};
const BROKEN: Migration = Migration {
    version: 3,
    name: "shop_broken",
    sql: "ALTER TABLE shop.goods ADD COLUMN colour text; SELECT 1 / 0",
};
const EDITED: Migration = Migration {
    sql: "CREATE SCHEMA shop",
    ..FIRST
};

/// No version was applied.
const NOTHING: [u32; 0] = [];

fn history(migrations: &'static [Migration]) -> AppHistory {
    AppHistory {
        app: "shop",
        migrations,
    }
}

#[tokio::test]
async fn an_apps_history_is_applied_once_and_never_another() {
    let scratch = Scratch::start("supabase_admin");
    let mut session = scratch.connect("supabase_admin", "postgres").await;
    let options = MigrateOptions::default();
    migrate(&mut session, &options).await.unwrap();

    let young = history(&[FIRST]);
    let old = history(&[FIRST, SECOND]);
    assert_eq!(
        migrate_app(&mut session, &young, &options).await.unwrap(),
        [1]
    );
    assert_eq!(
        migrate_app(&mut session, &young, &options).await.unwrap(),
        NOTHING
    );
    assert_eq!(
        migrate_app(&mut session, &old, &options).await.unwrap(),
        [2]
    );
    // A text that changed, and an app that is ahead, stop a start.
    let edited = history(&[EDITED, SECOND]);
    let refused = migrate_app(&mut session, &edited, &options)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "FB2101");
    let behind = migrate_app(&mut session, &young, &options)
        .await
        .unwrap_err();
    assert_eq!(behind.code(), "FB2102");
    // What fails leaves nothing of itself.
    let broken = history(&[FIRST, SECOND, BROKEN]);
    let failed = migrate_app(&mut session, &broken, &options)
        .await
        .unwrap_err();
    assert_eq!(failed.code(), "FB2105");
    let columns =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'shop.goods'::regclass AND attnum > 0";
    assert_eq!(text(&mut session, columns).await, "2");
    assert_eq!(
        migrate_app(&mut session, &old, &options).await.unwrap(),
        NOTHING
    );
    // Another app counts from one again, and nobody else reads the ledger.
    let other = AppHistory {
        app: "none",
        migrations: &[],
    };
    assert_eq!(
        migrate_app(&mut session, &other, &options).await.unwrap(),
        NOTHING
    );
    let open = "SELECT has_table_privilege('authenticated', 'ferrobase.app_migrations', 'SELECT')";
    assert_eq!(text(&mut session, open).await, "f");

    // Two nodes that start at once: one does it, both go on.
    let mut other = scratch.connect("supabase_admin", "postgres").await;
    session
        .script("DROP SCHEMA shop CASCADE; DELETE FROM ferrobase.app_migrations")
        .await
        .unwrap();
    let both = tokio::join!(
        migrate_app(&mut session, &old, &options),
        migrate_app(&mut other, &old, &options)
    );
    let mut applied = [both.0.unwrap(), both.1.unwrap()];
    applied.sort();
    assert_eq!(applied, [NOTHING.to_vec(), vec![1, 2]]);
}
