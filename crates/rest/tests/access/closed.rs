//! Who may ask, and what is bounded.

use kernel::Caller;
use serde_json::json;

use super::scene::{ANA, NOTES, Scene, anon, service, user};

#[tokio::test]
async fn nobody_but_a_service_key_learns_anything() {
    let scene = Scene::new(&[NOTES]).await;
    let explain = [("prefer", "explain=access"), ("explain-as", "service_role")];
    for (caller, status) in [(anon(), 401), (user(ANA), 403)] {
        // Whether the table exists or not, and whatever the body is.
        for line in [
            "GET /notes",
            "GET /nothing",
            "DELETE /notes?id=gt.0",
            "POST /notes",
            "GET /notes?sel(ect",
        ] {
            let answer = scene.send(&caller, line, "{nonsense", &explain).await;
            assert_eq!(answer.status, status, "{line}");
            assert_eq!(
                answer.body,
                json!({
                    "code": "42501",
                    "message": "Only a service key may ask for an explanation of access",
                    "details": null,
                    "hint": "Send the service_role key, or leave `Prefer: explain=access` out.",
                })
            );
        }
    }
    // A key that claims to be the service role without having been verified.
    let forged = Caller {
        authenticated: false,
        ..service()
    };
    assert_eq!(
        scene.send(&forged, "GET /notes", "", &explain).await.status,
        401
    );
    assert_eq!(
        scene.value("SELECT count(*) FROM notes").await.unwrap(),
        "2"
    );
}

#[tokio::test]
async fn a_misspelt_wish_does_not_carry_the_request_out() {
    let scene = Scene::new(&[NOTES]).await;
    let headers = [("prefer", "explain=acces")];
    let answer = scene
        .send(&service(), "DELETE /notes?id=gt.0", "", &headers)
        .await;
    assert_eq!(answer.body["code"], "PGRST122");
    assert_eq!(
        scene.value("SELECT count(*) FROM notes").await.unwrap(),
        "2"
    );
}

#[tokio::test]
async fn strict_handling_knows_the_preference_and_the_plain_one_means_anon() {
    let scene = Scene::new(&[NOTES]).await;
    let headers = [(
        "prefer",
        "handling=strict, explain=access; for=authenticated",
    )];
    let answer = scene.send(&service(), "GET /notes", "", &headers).await;
    assert_eq!(
        answer.body["subject"]["role"], "authenticated",
        "{}",
        answer.body
    );
    let headers = [("prefer", "explain=access")];
    let answer = scene.send(&service(), "GET /notes", "", &headers).await;
    assert_eq!(answer.body["subject"]["role"], "anon");
}

#[tokio::test]
async fn roles_that_are_not_there_or_out_of_reach_are_told() {
    let scene = Scene::new(&[NOTES]).await;
    let answer = scene.explain("nobody_at_all", "GET /notes", "").await;
    assert_eq!(answer.codes(), ["no_role"]);
    let answer = scene.explain("supabase_auth_admin", "GET /notes", "").await;
    assert_eq!(answer.codes()[0], "role_not_granted");
    assert_eq!(answer.outcome(), "refused");
    let headers = [("prefer", "explain=access"), ("explain-as", "none")];
    let answer = scene.send(&service(), "GET /notes", "", &headers).await;
    assert_eq!(answer.body["code"], "22023");
}

#[tokio::test]
async fn an_expired_token_is_the_first_reason() {
    let scene = Scene::new(&[NOTES]).await;
    let claims = json!({"role": "authenticated", "sub": ANA, "exp": 1_000_000});
    let answer = scene.explain(&claims.to_string(), "GET /notes", "").await;
    assert_eq!(answer.codes(), ["token_expired", "no_policy"]);
}

#[tokio::test]
async fn twenty_rows_are_looked_at_and_no_more() {
    let more = "INSERT INTO public.notes (id) SELECT generate_series(100, 200)";
    let scene = Scene::new(&[NOTES, more]).await;
    let answer = scene.explain(ANA, "GET /notes", "").await;
    let relation = &answer.body["relations"][0];
    assert_eq!(relation["rows"].as_array().unwrap().len(), 20);
    assert_eq!(relation["rows_limit"], 20);
    let rows: Vec<_> = (300..330).map(|id| json!({"id": id})).collect();
    let answer = scene
        .explain(ANA, "POST /notes", &json!(rows).to_string())
        .await;
    assert_eq!(
        answer.body["relations"][0]["new_rows"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

#[tokio::test]
async fn a_policy_that_fails_or_takes_forever_is_a_finding() {
    let script = "
        CREATE POLICY odd ON public.notes FOR SELECT USING (1 / (id - 1) > 0);
        CREATE POLICY slow ON public.notes FOR DELETE USING (pg_sleep(60) IS NOT NULL);";
    let scene = Scene::new(&[NOTES, script]).await;
    let answer = scene.explain(ANA, "GET /notes", "").await;
    assert_eq!(answer.codes(), ["policy_error"]);
    assert!(
        answer.body["summary"]
            .as_str()
            .unwrap()
            .contains("division by zero")
    );
    let answer = scene.explain(ANA, "DELETE /notes?id=eq.2", "").await;
    assert!(answer.codes().contains(&"policy_error"), "{}", answer.body);
    assert!(answer.body.to_string().contains("statement timeout"));
}

#[tokio::test]
async fn a_pre_request_function_that_refuses_is_told() {
    let script = "CREATE FUNCTION public.gate() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN IF current_user = 'anon' THEN RAISE 'not today'; END IF; END $$;";
    let scene = Scene::with(&[NOTES, script], |config| {
        config.pre_request = Some(pg::catalog::QualifiedName::new("public", "gate"));
    })
    .await;
    let answer = scene.explain("anon", "GET /notes", "").await;
    assert_eq!(answer.codes()[0], "pre_request");
    let answer = scene.explain(ANA, "GET /notes", "").await;
    assert_eq!(answer.codes(), ["no_policy"]);
}
