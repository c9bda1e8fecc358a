//! Moving in from GoTrue and out again: its dump restores here, people keep
//! their passwords and sessions, and ours fits into its tables.

use serde_json::json;

use crate::support::{PASSWORD, Room, text};

const DUMP: &str = include_str!("../data/gotrue_dump.sql");
const COLUMNS: &str = include_str!("../data/gotrue_columns.txt");
const SHAPE: &str = include_str!("../data/gotrue_shape.txt");

/// Tokens of the session that counts, worked out apart from our code: the
/// dump's session is at 3.
const COUNTED: [&str; 4] = [
    "ACIiIiIiIkIigiIiIiIiIiICHd3BBh3gNTC0trGayH88iLiedQY",
    "ACIiIiIiIkIigiIiIiIiIiIDLIKdu8mzQZjIBbFeOUH9BslAxig",
    "ACIiIiIiIkIigiIiIiIiIiIEkRdCG03PFRXFRbV9gAiN1pqIiik",
    "ACIiIiIiIkIigiIiIiIiIiIFGh-P2uMoAd67tvjfk_z1aZWA3ac",
];

async fn moved() -> Room {
    let room = Room::with(json!({"sms": {"enable_signup": true}})).await;
    room.ask(DUMP).await;
    room
}

#[tokio::test]
async fn people_of_a_dump_sign_in_with_their_old_passwords() {
    let room = moved().await;
    let ada = room.sign_in("ada@b.co").await.ok();
    assert_eq!(ada["user"]["app_metadata"]["plan"], "gold");
    assert_eq!(ada["user"]["user_metadata"]["name"], "Ada");
    assert_eq!(ada["user"]["identities"][0]["provider"], "email");
    let phone = json!({"phone": "15550100", "password": PASSWORD});
    room.post("/token?grant_type=password", phone).await.ok();
    let wrong = json!({"email": "ada@b.co", "password": "wrong horse"});
    let wrong = room.post("/token?grant_type=password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "invalid_credentials"));
    // Rows made from now on do not collide with those that came.
    room.sign_up("new@b.co").await.ok();
    room.end().await;
}

#[tokio::test]
async fn sessions_of_a_dump_go_on() {
    let room = moved().await;
    // Its successor was not received.
    let again = room.refresh("olderolder22").await.ok();
    assert_eq!(text(&again, "/refresh_token"), "newernewer22");
    let row = room.refresh("newernewer22").await.ok();
    let session = "11111111-1111-4111-8111-111111111111";
    assert_eq!(row["user"]["email"], "ada@b.co");
    let claims = crate::support::claims(text(&row, "/access_token"));
    assert_eq!(claims["session_id"], session);
    assert_eq!(claims["amr"][0]["method"], "password");
    let stolen = room.refresh("olderolder22").await;
    assert_eq!(stolen.refusal(), (400, "refresh_token_already_used"));
    room.end().await;
}

#[tokio::test]
async fn refresh_tokens_that_count_are_taken_and_given() {
    let room = moved().await;
    let refresh = async |n: usize| room.refresh(COUNTED[n]).await;
    assert_eq!(refresh(3).await.refusal(), (400, "validation_failed"));
    let next = refresh(1).await.ok();
    assert_eq!(text(&next, "/refresh_token"), COUNTED[2]);
    // The answer was not received, and a tab that slept woke up.
    room.wait(3600);
    let again = refresh(1).await.ok();
    assert_eq!(text(&again, "/refresh_token"), COUNTED[2]);
    let tab = refresh(0).await.ok();
    assert_eq!(text(&tab, "/refresh_token"), COUNTED[2]);
    room.wait(11);
    let stolen = refresh(0).await;
    assert_eq!(stolen.refusal(), (400, "refresh_token_already_used"));
    let family = refresh(2).await;
    assert_eq!(family.refusal(), (400, "refresh_token_not_found"));
    room.end().await;
}

#[tokio::test]
async fn a_token_that_counts_is_believed_by_its_sessions_key_alone() {
    let room = moved().await;
    let refused = async || room.refresh(COUNTED[1]).await.refusal().1.to_owned();
    for key in ["NULL", "'AAAA'", r#"'{"key_id":"k","alg":"aes-gcm-hkdf"}'"#] {
        room.ask(&format!(
            "UPDATE auth.sessions SET refresh_token_hmac_key = {key}"
        ))
        .await;
        assert_eq!(refused().await, "refresh_token_not_found", "{key}");
    }
    room.end().await;
}

/// Both ways: a column that only one of us has, or another type, would make a
/// dump fail to restore.
#[tokio::test]
async fn the_tables_are_gotrues_to_the_column() {
    let room = Room::autoconfirm().await;
    let ours = room
        .ask(
            "SET search_path = '';
             SELECT string_agg(c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                || CASE WHEN a.attgenerated <> '' THEN ' generated' WHEN a.attnotnull THEN ' not null' ELSE '' END,
                E'\\n' ORDER BY c.relname COLLATE \"C\", a.attname COLLATE \"C\")
             FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
             WHERE c.relnamespace = 'auth'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
        )
        .await;
    compare(COLUMNS, &ours);
    room.end().await;
}

/// What our rows satisfy, theirs do, and the other way round: the same keys,
/// references, checks, unique indexes and enumerations.
#[tokio::test]
async fn the_tables_are_gotrues_to_the_constraint() {
    let room = Room::autoconfirm().await;
    let ours = room
        .ask(
            "SET search_path = '';
             SELECT string_agg(replace(line, 'auth.', ''), E'\\n')
             FROM (
                 SELECT 'constraint ' || conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) AS line
                 FROM pg_constraint
                 WHERE connamespace = 'auth'::regnamespace AND conrelid <> 0
                 UNION ALL
                 SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'auth'
                 UNION ALL
                 SELECT 'enum ' || typname || ' ' || (
                     SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder)
                     FROM pg_enum WHERE enumtypid = pg_type.oid
                 )
                 FROM pg_type
                 WHERE typtype = 'e' AND typnamespace = 'auth'::regnamespace
             ) AS lines",
        )
        .await;
    compare(SHAPE, &ours);
    room.end().await;
}

fn compare(theirs: &str, ours: &str) {
    let theirs: Vec<_> = theirs
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let ours: Vec<_> = ours.lines().collect();
    let only = |these: &[&str], those: &[&str]| -> Vec<String> {
        let odd = these.iter().filter(|line| !those.contains(*line));
        odd.map(|line| (*line).to_owned()).collect()
    };
    assert_eq!(
        (only(&theirs, &ours), only(&ours, &theirs)),
        (vec![], vec![])
    );
}
