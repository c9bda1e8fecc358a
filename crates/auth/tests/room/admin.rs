//! The operator's side.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Room, text};

#[tokio::test]
async fn users_are_made_listed_changed_and_deleted() {
    let room = Room::autoconfirm().await;
    let body = json!({"email": "a@b.co", "password": PASSWORD, "email_confirm": true, "role": "editor",
        "user_metadata": {"name": "Ada"}, "app_metadata": {"plan": "pro"}});
    let user = room.admin("POST", "/admin/users", body.clone()).await.ok();
    assert_eq!(
        (&user["role"], &user["app_metadata"]["plan"]),
        (&json!("editor"), &json!("pro"))
    );
    assert_eq!(
        room.admin("POST", "/admin/users", body).await.refusal(),
        (422, "email_exists")
    );
    for n in 0..3 {
        let email = format!("{n}@b.co");
        room.admin("POST", "/admin/users", json!({"email": email}))
            .await
            .ok();
    }
    let page = room
        .admin("GET", "/admin/users?per_page=3&page=1", Value::Null)
        .await;
    assert_eq!(page.headers["x-total-count"], "4");
    assert_eq!(
        page.headers["link"],
        "</auth/v1/admin/users?per_page=3&page=2>; rel=\"next\", </auth/v1/admin/users?per_page=3&page=2>; rel=\"last\""
    );
    assert_eq!(page.ok()["users"].as_array().unwrap().len(), 3);
    let path = format!("/admin/users/{}", text(&user, "/id"));
    let change = json!({"app_metadata": {"plan": null, "seats": 3}, "ban_duration": "24h"});
    let changed = room.admin("PUT", &path, change).await.ok();
    assert_eq!(changed["app_metadata"]["plan"], Value::Null);
    assert_eq!(changed["app_metadata"]["seats"], 3);
    assert_eq!(room.sign_in("a@b.co").await.refusal(), (400, "user_banned"));
    room.admin("PUT", &path, json!({"ban_duration": "none"}))
        .await
        .ok();
    let session = room.sign_in("a@b.co").await.ok();
    room.admin("POST", &format!("{path}/logout"), Value::Null)
        .await
        .ok();
    let gone = room.user(text(&session, "/access_token")).await;
    assert_eq!(gone.refusal(), (403, "session_not_found"));
    room.admin("DELETE", &path, Value::Null).await.ok();
    assert_eq!(
        room.admin("GET", &path, Value::Null).await.refusal(),
        (404, "user_not_found")
    );
    let odd = room.admin("GET", "/admin/users/1", Value::Null).await;
    assert_eq!(odd.refusal(), (404, "validation_failed"));
    room.end().await;
}

#[tokio::test]
async fn a_soft_deleted_user_cannot_be_read_any_more() {
    let room = Room::autoconfirm().await;
    let session = room.sign_up("a@b.co").await.ok();
    let path = format!("/admin/users/{}", text(&session, "/user/id"));
    room.admin("DELETE", &path, json!({"should_soft_delete": true}))
        .await
        .ok();
    let left = room
        .ask("SELECT count(*) FROM auth.users WHERE email LIKE '%@%'")
        .await;
    assert_eq!(left, "0");
    assert_eq!(
        room.sign_in("a@b.co").await.refusal(),
        (400, "invalid_credentials")
    );
    room.sign_up("a@b.co").await.ok();
    room.end().await;
}

#[tokio::test]
async fn links_are_made_without_a_mail() {
    let room = Room::confirmed().await;
    let body = json!({"type": "signup", "email": "a@b.co", "password": PASSWORD});
    let link = room.admin("POST", "/admin/generate_link", body).await.ok();
    assert_eq!(link["verification_type"], "signup");
    let otp = json!({"type": "signup", "email": "a@b.co", "token": link["email_otp"]});
    room.post("/verify", otp).await.ok();
    let body = json!({"type": "magiclink", "email": "a@b.co"});
    let link = room.admin("POST", "/admin/generate_link", body).await.ok();
    let path = text(&link, "/action_link").replace("http://127.0.0.1:54321/auth/v1", "");
    assert!(room.get(&path).await.location().contains("access_token="));
    let unknown = json!({"type": "recovery", "email": "nobody@b.co"});
    let unknown = room.admin("POST", "/admin/generate_link", unknown).await;
    assert_eq!(unknown.refusal(), (404, "user_not_found"));
    assert_eq!(room.ask("SELECT count(*) FROM ferrobase.inbox").await, "0");
    room.end().await;
}

#[tokio::test]
async fn the_invited_come_in_and_it_is_written_down() {
    let room = Room::confirmed().await;
    let invited = room
        .admin("POST", "/invite", json!({"email": "guest@b.co"}))
        .await
        .ok();
    assert!(invited["invited_at"].is_string());
    let link = room.link("guest@b.co").await;
    assert!(room.get(&link).await.location().contains("type=invite"));
    let again = room
        .admin("POST", "/invite", json!({"email": "guest@b.co"}))
        .await;
    assert_eq!(again.refusal(), (422, "email_exists"));
    let log = room
        .admin("GET", "/admin/audit?query=action:user_invited", Value::Null)
        .await;
    assert_eq!(log.headers["x-total-count"], "1");
    let log = log.ok();
    assert_eq!(log[0]["payload"]["action"], "user_invited");
    assert_eq!(log[0]["payload"]["actor_username"], "service_role");
    room.end().await;
}

#[tokio::test]
async fn a_foreign_hash_is_kept_once_it_has_been_used() {
    let room = Room::autoconfirm().await;
    // bcrypt of "correct horse", cost 5, as another system wrote it.
    let hash = room
        .ask("SELECT crypt('correct horse', gen_salt('bf', 5))")
        .await;
    let body = json!({"email": "a@b.co", "password_hash": hash, "email_confirm": true});
    room.admin("POST", "/admin/users", body).await.ok();
    room.sign_in("a@b.co").await.ok();
    assert_ne!(
        room.ask("SELECT encrypted_password FROM auth.users").await,
        hash
    );
    room.sign_in("a@b.co").await.ok();
    let bad = json!({"email": "b@b.co", "password_hash": "md5:123"});
    assert_eq!(
        room.admin("POST", "/admin/users", bad).await.refusal(),
        (400, "validation_failed")
    );
    room.end().await;
}
