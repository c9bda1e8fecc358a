//! What roles may do at all, and what should be looked at.

use rest::access::report::{Extent, FindingKind, Report, report};

use super::scene::{NOTES, OWN, Scene};

const SHOP: &str = "
CREATE TABLE public.open (id integer PRIMARY KEY);
CREATE TABLE public.shown (id integer PRIMARY KEY);
COMMENT ON TABLE public.shown IS 'prices @ferrobase.public';
CREATE TABLE public.news (id integer PRIMARY KEY, draft text);
ALTER TABLE public.news ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON public.news FOR SELECT USING (true);
CREATE POLICY quiet ON public.news AS RESTRICTIVE FOR SELECT TO authenticated USING (draft IS NULL);
CREATE VIEW public.titles AS SELECT id, title FROM public.notes;
CREATE FUNCTION public.wipe() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM notes';
REVOKE ALL ON public.open, public.shown, public.news, public.titles FROM anon, authenticated;
GRANT SELECT, DELETE ON public.open TO authenticated;
GRANT SELECT ON public.shown TO anon;
GRANT SELECT (id) ON public.news TO anon;
GRANT SELECT ON public.news TO authenticated;
GRANT SELECT ON public.titles TO anon;
";

async fn of(scene: &Scene) -> Report {
    let mut session = scene.db.session().await;
    let roles = ["anon".to_owned(), "authenticated".to_owned()];
    let report = report(&mut session, &["public".to_owned()], &roles)
        .await
        .unwrap();
    session.close().await;
    report
}

#[tokio::test]
async fn every_role_command_and_relation_has_its_reason() {
    let scene = Scene::new(&[NOTES, OWN, SHOP]).await;
    let report = of(&scene).await;
    let mut lines: Vec<String> = report
        .access
        .iter()
        .map(|of| format!("{} {} {} {:?}", of.role, of.command, of.on, of.rows))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "anon select public.news All",
            "anon select public.shown All",
            "anon select public.titles ByView",
            "authenticated delete public.open All",
            "authenticated select public.news ByPolicy",
            "authenticated select public.notes ByPolicy",
            "authenticated select public.open All",
        ]
    );
    let news = report
        .access
        .iter()
        .find(|of| of.on == "public.news" && of.role == "anon")
        .unwrap();
    assert_eq!(news.columns.as_deref(), Some(["id".to_owned()].as_slice()));
    assert_eq!(news.because, "the policy everybody is true for every row");
    let notes = report
        .access
        .iter()
        .find(|of| of.on == "public.notes")
        .unwrap();
    assert_eq!(notes.rows, Extent::ByPolicy);
    assert!(
        notes.policies[0]
            .using
            .as_deref()
            .unwrap()
            .contains("auth.uid()")
    );
    let wipe = report
        .functions
        .iter()
        .find(|of| of.function == "public.wipe()")
        .unwrap();
    assert_eq!((wipe.security.as_str(), wipe.volatile), ("definer", true));
}

#[tokio::test]
async fn what_nobody_wanted_is_found() {
    let scene = Scene::new(&[NOTES, OWN, SHOP]).await;
    let report = of(&scene).await;
    let on = |kind| -> Vec<&str> {
        let found = report.findings.iter().filter(|of| of.kind == kind);
        let mut on: Vec<&str> = found.map(|of| of.on.as_str()).collect();
        on.dedup();
        on
    };
    assert_eq!(
        on(FindingKind::NoRls),
        ["public.open"],
        "the other is declared public"
    );
    assert_eq!(
        on(FindingKind::AnonReadAll),
        ["public.news", "public.shown"]
    );
    assert_eq!(on(FindingKind::AnonWrite), [""; 0]);
    assert_eq!(on(FindingKind::WriteAll), ["public.open"]);
    assert_eq!(on(FindingKind::OwnerView), ["public.titles"]);
    assert_eq!(on(FindingKind::AnonDefiner), ["public.wipe()"]);
    assert_eq!(on(FindingKind::DefinerSearchPath), ["public.wipe()"]);

    scene
        .script("ALTER TABLE public.open ENABLE ROW LEVEL SECURITY; REVOKE ALL ON public.titles FROM anon;
                 ALTER FUNCTION public.wipe SET search_path = ''; REVOKE EXECUTE ON FUNCTION public.wipe FROM PUBLIC, anon;")
        .await;
    let report = of(&scene).await;
    let kinds: Vec<FindingKind> = report.findings.iter().map(|of| of.kind).collect();
    for gone in [
        FindingKind::NoRls,
        FindingKind::OwnerView,
        FindingKind::AnonDefiner,
        FindingKind::DefinerSearchPath,
        FindingKind::WriteAll,
    ] {
        assert!(!kinds.contains(&gone), "{kinds:?}");
    }
    assert!(
        !report.access.iter().any(|of| of.on == "public.open"),
        "closed by default"
    );
}

#[tokio::test]
async fn a_report_is_read_back_as_it_was_written() {
    let scene = Scene::new(&[NOTES, OWN, SHOP]).await;
    let report = of(&scene).await;
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}
