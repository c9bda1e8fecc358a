//! Embeds, views and functions.

use serde_json::json;

use super::scene::{ANA, BEN, NOTES, OWN, Scene};

const COMMENTS: &str = "
CREATE TABLE public.comments (id integer PRIMARY KEY, note_id integer REFERENCES public.notes, body text);
ALTER TABLE public.comments ENABLE ROW LEVEL SECURITY;
CREATE TABLE public.tags (id integer PRIMARY KEY, name text);
CREATE TABLE public.note_tags (note_id integer REFERENCES public.notes, tag_id integer REFERENCES public.tags, PRIMARY KEY (note_id, tag_id));
INSERT INTO public.comments VALUES (10, 1, 'on 1'), (20, 2, 'on 2');
INSERT INTO public.tags VALUES (5, 'red'), (6, 'blue');
INSERT INTO public.note_tags VALUES (1, 5), (2, 6);
GRANT ALL ON public.comments, public.tags TO anon, authenticated, service_role;
REVOKE ALL ON public.note_tags FROM anon, authenticated;
";

#[tokio::test]
async fn each_embed_has_an_explanation_of_its_own() {
    let scene = Scene::new(&[NOTES, OWN, COMMENTS]).await;
    let line = "GET /notes?select=id,comments(body),tags(name)&id=eq.1";
    let answer = scene.explain(ANA, line, "").await;
    let relations = answer.body["relations"].as_array().unwrap();
    let names: Vec<_> = relations
        .iter()
        .map(|of| of["as"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "notes",
            "notes.comments",
            "notes.tags (through note_tags)",
            "notes.tags"
        ]
    );
    // Rows of embeds are those of the request's rows.
    assert_eq!(relations[1]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(relations[1]["rows"][0]["key"], json!({"id": 10}));
    assert_eq!(
        relations[2]["rows"][0]["key"],
        json!({"note_id": 1, "tag_id": 5})
    );
    assert_eq!(relations[3]["rows"][0]["key"], json!({"id": 5}));
    let reasons: Vec<_> = answer.body["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| {
            (
                reason["code"].as_str().unwrap(),
                reason["on"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("no_policy", "notes.comments"),
            ("no_grant", "notes.tags (through note_tags)")
        ]
    );
    assert_eq!(answer.outcome(), "refused");
}

#[tokio::test]
async fn a_view_runs_with_the_rights_of_its_owner_or_of_the_caller() {
    let script = "
        CREATE VIEW public.titles AS SELECT id, title FROM public.notes;
        ALTER VIEW public.titles OWNER TO postgres;
        GRANT SELECT ON public.titles TO anon, authenticated, service_role;";
    let scene = Scene::new(&[
        NOTES,
        OWN,
        "ALTER TABLE public.notes OWNER TO postgres",
        script,
    ])
    .await;
    let answer = scene.explain(BEN, "GET /titles", "").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let relations = answer.body["relations"].as_array().unwrap();
    assert!(
        relations[0]["notes"]
            .to_string()
            .contains("security_invoker = true")
    );
    assert_eq!(relations[1]["relation"], "public.notes");
    assert_eq!(relations[1]["role"], "postgres", "with the owner's rights");
    assert_eq!(relations[1]["row_level_security"]["decides"], false);

    let version: u32 = scene
        .value("SHOW server_version_num")
        .await
        .unwrap()
        .parse()
        .unwrap();
    if version < 150_000 {
        return;
    }
    scene
        .script("ALTER VIEW public.titles SET (security_invoker = true)")
        .await;
    let answer = scene.explain(BEN, "GET /titles", "").await;
    assert_eq!(answer.outcome(), "rows_hidden", "{}", answer.body);
    assert_eq!(answer.codes(), ["view", "permissive_policy"]);
    let relations = answer.body["relations"].as_array().unwrap();
    assert_eq!(relations[0]["rows"][1]["visible"], true);
    assert_eq!(relations[0]["rows"][0]["visible"], false);
    assert_eq!(relations[1]["role"], "authenticated");
    scene
        .script("GRANT ALL ON public.titles TO authenticated, service_role")
        .await;
    let answer = scene
        .explain(BEN, "POST /titles", r#"{"id":9,"title":"x"}"#)
        .await;
    assert_eq!(
        answer.codes(),
        ["undecided"],
        "no policy of the table was asked"
    );
}

#[tokio::test]
async fn a_function_needs_execute_and_says_with_whose_rights_it_runs() {
    let script = "
        CREATE FUNCTION public.mine() RETURNS SETOF public.notes LANGUAGE sql STABLE AS 'SELECT * FROM notes';
        CREATE FUNCTION public.all_notes(lowest integer) RETURNS SETOF public.notes LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT * FROM notes WHERE id >= $1';
        REVOKE EXECUTE ON FUNCTION public.mine FROM PUBLIC, anon, authenticated;";
    let scene = Scene::new(&[NOTES, OWN, COMMENTS, script]).await;
    let answer = scene
        .explain(ANA, "GET /rpc/mine?select=id,comments(body)", "")
        .await;
    assert_eq!(answer.codes()[0], "no_execute");
    assert_eq!(answer.outcome(), "refused");
    assert_eq!(answer.body["function"]["security"], "invoker");
    assert_eq!(answer.body["relations"][0]["relation"], "public.comments");
    scene.script(&answer.sql("no_execute")).await;
    let answer = scene.explain(ANA, "GET /rpc/mine", "").await;
    assert_eq!(answer.outcome(), "allowed", "{}", answer.body);
    let answer = scene
        .explain("anon", "POST /rpc/all_notes", r#"{"lowest":1}"#)
        .await;
    assert_eq!(answer.body["function"]["security"], "definer");
    assert!(
        answer.body["function"]["notes"]
            .to_string()
            .contains("search_path")
    );
}
