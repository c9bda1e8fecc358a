//! Why a write is refused, or hits nothing.

use serde_json::json;

use super::scene::{ANA, BEN, NOTES, OWN, Scene, user};

const INSERT: &str = "CREATE POLICY add ON public.notes FOR INSERT TO authenticated WITH CHECK (auth.uid() = user_id);";
const BACK: &str = "explain=access, return=representation";

#[tokio::test]
async fn a_new_row_is_held_against_the_check_with_its_defaults() {
    let scene = Scene::new(&[NOTES, INSERT]).await;
    // The default of user_id is auth.uid().
    let answer = scene
        .explain(ANA, "POST /notes", r#"{"id":3,"title":"x"}"#)
        .await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let other = json!({"id": 3, "user_id": BEN}).to_string();
    let answer = scene.explain(ANA, "POST /notes", &other).await;
    assert_eq!(answer.codes(), ["check_failed"]);
    assert_eq!(answer.outcome(), "refused");
    let new = &answer.body["relations"][0]["new_rows"][0];
    assert_eq!(new["passes"], false);
    assert_eq!(new["policies"][0]["clause"], "check");
    assert_eq!(
        scene
            .carry_out(&user(ANA), "POST /notes", &other)
            .await
            .status,
        403
    );
    assert_eq!(
        scene.value("SELECT count(*) FROM notes").await.unwrap(),
        "2"
    );
}

#[tokio::test]
async fn rows_that_come_back_must_be_readable() {
    let scene = Scene::new(&[NOTES, INSERT]).await;
    let body = r#"{"id":3}"#;
    let answer = scene.explain_with(ANA, "POST /notes", body, BACK).await;
    assert_eq!(answer.codes(), ["returning_needs_select"]);
    assert_eq!(answer.outcome(), "refused");
    assert!(
        answer.body["reasons"][0]
            .to_string()
            .contains("return=minimal")
    );
    let back = [("prefer", "return=representation")];
    let refused = scene.send(&user(ANA), "POST /notes", body, &back).await;
    assert_eq!(refused.body["code"], "42501");
    scene.script(&answer.sql("returning_needs_select")).await;
    let answer = scene.explain_with(ANA, "POST /notes", body, BACK).await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let done = scene.send(&user(ANA), "POST /notes", body, &back).await;
    assert_eq!(done.status, 201, "{}", done.body);
}

#[tokio::test]
async fn an_update_needs_its_rows_found_and_its_new_rows_permitted() {
    let script = "CREATE POLICY change ON public.notes FOR UPDATE TO authenticated
        USING (auth.uid() = user_id) WITH CHECK (title <> 'bad');";
    let scene = Scene::new(&[NOTES, script]).await;
    // A filter reads a column, and no policy lets her read.
    let answer = scene
        .explain(ANA, "PATCH /notes?id=eq.1", r#"{"title":"x"}"#)
        .await;
    assert_eq!(answer.codes(), ["filter_needs_select"]);
    assert_eq!(answer.outcome(), "rows_hidden");
    scene.script(OWN).await;
    let answer = scene
        .explain(ANA, "PATCH /notes?id=eq.1", r#"{"title":"x"}"#)
        .await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let answer = scene
        .explain(ANA, "PATCH /notes?id=eq.1", r#"{"title":"bad"}"#)
        .await;
    assert_eq!(answer.codes(), ["check_failed"]);
    assert_eq!(answer.outcome(), "refused");
    // Ben's row is not found, so its new title offends nobody.
    let answer = scene
        .explain(ANA, "PATCH /notes?id=eq.2", r#"{"title":"bad"}"#)
        .await;
    assert_eq!(answer.outcome(), "rows_hidden", "{}", answer.body);
    let done = scene
        .carry_out(&user(ANA), "PATCH /notes?id=eq.2", r#"{"title":"bad"}"#)
        .await;
    assert_eq!(done.status, 204);
    // Giving a row away: it may be written but not read afterwards.
    let away = json!({"user_id": BEN}).to_string();
    let answer = scene.explain(ANA, "PATCH /notes?id=eq.1", &away).await;
    assert_eq!(answer.codes(), ["filter_needs_select"]);
    assert_eq!(answer.outcome(), "refused");
    let done = scene
        .carry_out(&user(ANA), "PATCH /notes?id=eq.1", &away)
        .await;
    assert_eq!(done.body["code"], "42501", "PostgreSQL says the same");
}

#[tokio::test]
async fn a_delete_and_an_upsert_have_gates_of_their_own() {
    let scene = Scene::new(&[NOTES, OWN, INSERT]).await;
    let answer = scene.explain(ANA, "DELETE /notes?id=eq.1", "").await;
    assert_eq!(answer.codes(), ["no_policy"]);
    assert!(answer.sql("no_policy").contains("FOR DELETE"));
    scene.script(&answer.sql("no_policy")).await;
    let answer = scene.explain(ANA, "DELETE /notes?id=eq.1", "").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);

    let merge = "explain=access, resolution=merge-duplicates";
    let new = scene
        .explain_with(ANA, "POST /notes", r#"{"id":7}"#, merge)
        .await;
    assert_eq!(new.outcome(), "allowed", "{}", new.body);
    let there = scene
        .explain_with(ANA, "POST /notes", r#"{"id":1}"#, merge)
        .await;
    assert_eq!(there.codes()[0], "no_policy", "{}", there.body);
    assert!(there.sql("no_policy").contains("FOR UPDATE"));
    assert_eq!(there.outcome(), "refused");
}

#[tokio::test]
async fn nothing_is_written_numbered_or_noticed() {
    let script = "
        CREATE TABLE public.log (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n serial, at timestamptz DEFAULT now(), who uuid);
        ALTER TABLE public.log ENABLE ROW LEVEL SECURITY;
        CREATE POLICY whoever ON public.log USING (who IS NULL) WITH CHECK (at IS NOT NULL);
        GRANT ALL ON public.log TO anon, service_role;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO anon, service_role;
        CREATE FUNCTION public.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trigger ran'; END $$;
        CREATE TRIGGER shout BEFORE INSERT ON public.log FOR EACH ROW EXECUTE FUNCTION public.shout();";
    let scene = Scene::new(&[NOTES, script]).await;
    let answer = scene.explain("anon", "POST /log", "[{},{}]").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    assert_eq!(
        answer.body["relations"][0]["new_rows"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let notes = answer.body["relations"][0]["notes"].to_string();
    assert!(
        notes.contains("id, n") && notes.contains("shout"),
        "{notes}"
    );
    let numbers = "SELECT (SELECT count(*) FROM log) || ':' || (SELECT is_called FROM log_id_seq) || ':' || (SELECT is_called FROM log_n_seq)";
    assert_eq!(scene.value(numbers).await.unwrap(), "0:false:false");
    for (line, body) in [
        ("DELETE /notes?id=gt.0", ""),
        ("PATCH /notes?id=gt.0", r#"{"title":"gone"}"#),
    ] {
        scene.explain("service_role", line, body).await;
    }
    let left = "SELECT count(*) FROM notes WHERE title LIKE 'of %'";
    assert_eq!(scene.value(left).await.unwrap(), "2");
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_said_to_be_invalid() {
    let scene = Scene::new(&[NOTES, INSERT]).await;
    let answer = scene.explain(ANA, "POST /notes", r#"{"id":"seven"}"#).await;
    assert_eq!(answer.codes(), ["row_invalid"]);
}

#[tokio::test]
async fn what_cannot_be_found_out_is_not_called_allowed() {
    let script = "
        CREATE SCHEMA private;
        CREATE FUNCTION private.fine(text) RETURNS boolean
            LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT $1 <> ''bad''';
        CREATE POLICY add ON public.notes FOR INSERT TO authenticated WITH CHECK (private.fine(title));
        CREATE TABLE public.closed (id integer PRIMARY KEY);
        REVOKE ALL ON public.closed FROM service_role;
        GRANT SELECT ON public.closed TO authenticated;";
    let scene = Scene::new(&[NOTES, script]).await;
    let answer = scene
        .explain(ANA, "POST /notes", r#"{"id":3,"title":"good"}"#)
        .await;
    assert_eq!(answer.codes(), ["undecided"], "{}", answer.body);
    assert_eq!(answer.outcome(), "undecided");
    let answer = scene.explain(ANA, "GET /closed", "").await;
    assert_eq!(answer.outcome(), "undecided", "{}", answer.body);
}
