//! Why rows are hidden.

use serde_json::json;

use super::scene::{ANA, BEN, NOTES, OWN, Scene, anon, user};

#[tokio::test]
async fn without_a_policy_nobody_sees_anything_until_the_suggestion_is_followed() {
    let scene = Scene::new(&[NOTES]).await;
    let answer = scene.explain(ANA, "GET /notes", "").await;
    assert_eq!(answer.codes(), ["no_policy"]);
    assert_eq!(answer.outcome(), "rows_hidden");
    let rows = &answer.body["relations"][0]["rows"];
    assert_eq!(rows[0]["key"], json!({"id": 1}));
    assert_eq!(rows[0]["visible"], false);
    assert_eq!(rows[0]["passes"], false);

    let before = scene
        .carry_out(&user(ANA), "GET /notes?select=id", "")
        .await;
    assert_eq!(before.body, json!([]));
    scene.script(&answer.sql("no_policy")).await;
    let after = scene
        .carry_out(&user(ANA), "GET /notes?select=id", "")
        .await;
    assert_eq!(after.body, json!([{"id": 1}]), "her own row and no other");
}

#[tokio::test]
async fn a_policy_says_yes_to_one_row_and_no_to_the_other() {
    let scene = Scene::new(&[NOTES, OWN]).await;
    let answer = scene.explain(BEN, "GET /notes?select=id,title", "").await;
    assert_eq!(answer.codes(), ["permissive_policy"]);
    let rows = &answer.body["relations"][0]["rows"];
    assert_eq!(rows[0]["visible"], false);
    assert_eq!(rows[1]["visible"], true);
    assert_eq!(rows[0]["policies"][0]["policy"], "own");
    assert_eq!(rows[0]["policies"][0]["result"], false);
    assert_eq!(rows[1]["policies"][0]["result"], true);

    // Only rows that the request asks for count.
    let own = scene.explain(BEN, "GET /notes?id=eq.2", "").await;
    assert_eq!(own.outcome(), "allowed", "{}", own.body);
    let none = scene.explain(BEN, "GET /notes?id=eq.99", "").await;
    assert_eq!(none.codes(), ["no_rows"]);
    assert_eq!(none.outcome(), "no_rows");
}

#[tokio::test]
async fn a_caller_without_a_user_is_told_so() {
    let policy = "CREATE POLICY own ON public.notes USING (auth.uid() = user_id);";
    let scene = Scene::new(&[NOTES, policy]).await;
    let answer = scene.explain("anon", "GET /notes", "").await;
    assert_eq!(answer.codes(), ["claims_missing"]);
    let result = &answer.body["relations"][0]["rows"][0]["policies"][0]["result"];
    assert_eq!(*result, json!(null), "null = user_id is null");
}

#[tokio::test]
async fn policies_see_the_claims_of_the_subject() {
    let policy = "CREATE POLICY team ON public.notes TO authenticated
        USING (auth.jwt() -> 'app_metadata' ->> 'team' = 'blue' AND current_user = 'authenticated');";
    let scene = Scene::new(&[NOTES, policy]).await;
    let blue = json!({"role": "authenticated", "sub": ANA, "app_metadata": {"team": "blue"}});
    let answer = scene.explain(&blue.to_string(), "GET /notes", "").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let answer = scene.explain(ANA, "GET /notes", "").await;
    assert_eq!(answer.codes(), ["permissive_policy"]);
}

#[tokio::test]
async fn a_policy_for_another_role_is_named() {
    let scene = Scene::new(&[NOTES, OWN]).await;
    let answer = scene.explain("anon", "GET /notes", "").await;
    assert_eq!(answer.codes(), ["policy_for_other_roles"]);
    assert_eq!(
        answer.sql("policy_for_other_roles"),
        "ALTER POLICY own ON public.notes TO authenticated, anon;"
    );
    scene.script(&answer.sql("policy_for_other_roles")).await;
    let answer = scene.explain("anon", "GET /notes", "").await;
    assert_eq!(answer.codes(), ["claims_missing"]);
}

#[tokio::test]
async fn a_restrictive_policy_that_refuses_is_named() {
    let more =
        "CREATE POLICY quiet ON public.notes AS RESTRICTIVE FOR SELECT USING (title <> 'of Ana');";
    let scene = Scene::new(&[NOTES, OWN, more]).await;
    let answer = scene.explain(ANA, "GET /notes?id=eq.1", "").await;
    assert_eq!(answer.codes(), ["restrictive_policy"]);
    assert!(answer.body["summary"].as_str().unwrap().contains("quiet"));
    scene.script(&answer.sql("restrictive_policy")).await;
    let answer = scene.explain(ANA, "GET /notes?id=eq.1", "").await;
    assert_eq!(answer.outcome(), "allowed");
}

#[tokio::test]
async fn a_missing_grant_and_a_missing_column_grant_are_told_apart() {
    let scene = Scene::new(&[
        NOTES,
        OWN,
        "REVOKE ALL ON public.notes FROM anon, authenticated",
    ])
    .await;
    let answer = scene.explain(ANA, "GET /notes?select=id,title", "").await;
    assert_eq!(answer.codes()[0], "no_grant");
    assert_eq!(answer.outcome(), "refused");
    assert_eq!(
        answer.sql("no_grant"),
        "GRANT SELECT ON public.notes TO authenticated;"
    );

    scene
        .script("GRANT SELECT (id, user_id) ON public.notes TO authenticated")
        .await;
    let answer = scene
        .explain(ANA, "GET /notes?select=id,title&secret=eq.s1", "")
        .await;
    assert_eq!(answer.codes()[0], "no_column_grant");
    let grant = &answer.body["relations"][0]["grants"][0];
    assert_eq!(
        grant["columns"],
        json!(["id", "secret", "title"]),
        "filters count, too"
    );
    assert_eq!(grant["missing"], json!(["secret", "title"]));
    scene.script(&answer.sql("no_column_grant")).await;
    let answer = scene
        .explain(ANA, "GET /notes?select=id,title&secret=eq.s1", "")
        .await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
}

#[tokio::test]
async fn a_schema_that_may_not_be_used_is_named() {
    let script = "CREATE SCHEMA shop;
        CREATE TABLE shop.orders (id integer PRIMARY KEY);
        GRANT ALL ON shop.orders TO anon, service_role;
        GRANT USAGE ON SCHEMA shop TO service_role;";
    let scene = Scene::with(&[script], |config| config.schemas = vec!["shop".to_owned()]).await;
    let answer = scene.explain("anon", "GET /orders", "").await;
    assert_eq!(answer.codes(), ["no_schema_usage"]);
    assert_eq!(answer.outcome(), "refused");
    scene.script(&answer.sql("no_schema_usage")).await;
    assert_eq!(
        scene.carry_out(&anon(), "GET /orders", "").await.status,
        200
    );
}

#[tokio::test]
async fn subqueries_of_policies_run_under_the_subjects_own_rights() {
    let script = "
        CREATE TABLE public.members (note_id integer, user_id uuid);
        ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
        INSERT INTO public.members VALUES (1, 'bbbbbbbb-0000-4000-8000-000000000002');
        GRANT ALL ON public.members TO anon, authenticated, service_role;
        CREATE POLICY shared ON public.notes FOR SELECT TO authenticated USING (
            EXISTS (SELECT FROM public.members AS m WHERE m.note_id = notes.id AND m.user_id = auth.uid()));";
    let scene = Scene::new(&[NOTES, script]).await;
    let answer = scene.explain(BEN, "GET /notes?id=eq.1", "").await;
    assert_eq!(
        answer.codes(),
        ["permissive_policy"],
        "the members are hidden from him"
    );
    scene
        .script("CREATE POLICY own ON public.members USING (user_id = auth.uid())")
        .await;
    let answer = scene.explain(BEN, "GET /notes?id=eq.1", "").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);

    scene
        .script("REVOKE ALL ON public.members FROM authenticated")
        .await;
    let answer = scene.explain(BEN, "GET /notes?id=eq.1", "").await;
    assert_eq!(answer.codes(), ["policy_error"]);
    assert_eq!(answer.outcome(), "refused");
}

#[tokio::test]
async fn whole_rows_and_private_schemas_in_policies_are_understood() {
    let script = "
        CREATE SCHEMA private;
        CREATE FUNCTION private.fine(public.notes) RETURNS boolean
            LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT ($1).title = ''of Ana''';
        CREATE FUNCTION public.short(public.notes) RETURNS boolean LANGUAGE sql AS 'SELECT length(($1).title) < 9';
        CREATE POLICY hidden_schema ON public.notes FOR SELECT TO authenticated USING (private.fine(notes));
        CREATE POLICY short ON public.notes AS RESTRICTIVE FOR SELECT TO authenticated USING (public.short(notes.*));";
    let scene = Scene::new(&[NOTES, script]).await;
    let answer = scene.explain(ANA, "GET /notes", "").await;
    // Nobody may name the schema, so the policy cannot be asked by itself:
    // PostgreSQL's own word about each row decides.
    let rows = &answer.body["relations"][0]["rows"];
    assert_eq!(rows[0]["passes"], true, "{}", answer.body);
    assert_eq!(rows[1]["passes"], false);
    let said = rows[0]["policies"].as_array().unwrap();
    assert_eq!(said[1]["result"], true, "{}", answer.body);
}

#[tokio::test]
async fn a_bypass_an_owner_and_open_tables_are_no_riddle() {
    let scene = Scene::new(&[NOTES, "ALTER TABLE public.notes OWNER TO postgres"]).await;
    let answer = scene.explain("service_role", "GET /notes", "").await;
    assert_eq!(answer.outcome(), "allowed");
    let why = &answer.body["relations"][0]["row_level_security"];
    assert_eq!(why["because"], "service_role bypasses row level security");

    scene.script("CREATE ROLE access_editor; GRANT access_editor TO authenticator; GRANT ALL ON notes TO access_editor; GRANT USAGE ON SCHEMA public TO access_editor; ALTER TABLE public.notes OWNER TO access_editor").await;
    let answer = scene.explain("access_editor", "GET /notes", "").await;
    let why = answer.body["relations"][0]["row_level_security"]["because"]
        .as_str()
        .unwrap();
    assert!(why.contains("owner"), "{why}");
    scene
        .script("ALTER TABLE public.notes FORCE ROW LEVEL SECURITY")
        .await;
    let answer = scene.explain("access_editor", "GET /notes", "").await;
    assert_eq!(answer.codes(), ["no_policy"]);
    scene.script("ALTER TABLE public.notes OWNER TO postgres; DROP OWNED BY access_editor; DROP ROLE access_editor").await;
}
