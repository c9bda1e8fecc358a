//! Chains, needs and what follows failures.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use proptest::prelude::*;

use super::*;
use crate::chat::{Image, Message, Role};

const OWN: &str = r#"
    [[model]]
    name = "blind/m"
    context = 100
    can = ["schema"]
    [[model]]
    name = "sees/m"
    can = ["tools", "vision"]
    [[model]]
    name = "vectors/m"
    can = ["embed"]
"#;

fn map(roles: &[(&str, &[&str])]) -> Map {
    let vendor = |name: &str| {
        let vendor = Vendor {
            name: name.into(),
            free: false,
        };
        (Arc::from(name), vendor)
    };
    let roles = roles.iter().map(|(name, steps)| {
        let steps: Vec<_> = steps.iter().map(|s| (*s).to_owned()).collect();
        ((*name).to_owned(), RoleRoutes::parse(&steps).unwrap())
    });
    Map {
        roles: roles.collect(),
        vendors: ["a", "b", "blind", "sees", "vectors"].map(vendor).into(),
        book: Book::read(Some(OWN)).unwrap(),
        else_ask: None,
    }
}

fn chain(
    map: &Map,
    target: &str,
    needs: Needs,
    chance: f64,
) -> Result<Vec<String>, ModelErrorKind> {
    let plan = plan(map, target, needs, chance).map_err(|error| error.kind)?;
    Ok(plan.chain.iter().map(|c| c.route.to_string()).collect())
}

fn failed(kind: ModelErrorKind) -> ModelError {
    ModelError::new(kind, "no")
}

#[test]
fn our_own_servers_fetch_no_pictures_and_names_are_plain() {
    let mut map = map(&[]);
    let own = Vendor {
        name: "own".into(),
        free: true,
    };
    map.vendors.insert("own".into(), own);
    let fetch = Needs {
        vision: true,
        fetch: true,
        ..Needs::default()
    };
    let at = |target, needs| chain(&map, target, needs, 0.0);
    assert_eq!(at("own/x", fetch), Err(ModelErrorKind::Unsupported));
    let data = Needs {
        fetch: false,
        ..fetch
    };
    assert_eq!(at("own/x", data).unwrap(), ["own/x"]);
    assert_eq!(at("a/x", fetch).unwrap(), ["a/x"]);
    let odd = at("a/x\0y", Needs::default());
    assert_eq!(odd, Err(ModelErrorKind::NotFound));
}

#[test]
fn a_role_is_a_chain_and_chance_chooses_within_a_step() {
    let map = map(&[("coder", &["a/x@70 | b/y@30", "sees/m"])]);
    let at = |chance| chain(&map, "coder", Needs::default(), chance).unwrap();
    assert_eq!(at(0.0), ["a/x", "b/y", "sees/m"]);
    assert_eq!(at(0.69), ["a/x", "b/y", "sees/m"]);
    assert_eq!(at(0.7), ["b/y", "a/x", "sees/m"]);
    assert_eq!(at(0.999), ["b/y", "a/x", "sees/m"]);
}

#[test]
fn what_is_no_role_is_a_provider_and_a_model() {
    let map = map(&[("coder", &["a/x"])]);
    let at = |target| chain(&map, target, Needs::default(), 0.0);
    assert_eq!(at("b/some/deep:name").unwrap(), ["b/some/deep:name"]);
    assert_eq!(at("x").unwrap(), ["a/x"], "a model that a role names");
    assert_eq!(at("nobody/x"), Err(ModelErrorKind::NotFound));
    assert_eq!(at("poet"), Err(ModelErrorKind::NotFound));
}

#[test]
fn providers_that_are_not_there_are_left_out() {
    let map = map(&[("coder", &["gone/x", "a/x"]), ("poet", &["gone/x"])]);
    let at = |target| chain(&map, target, Needs::default(), 0.0);
    assert_eq!(at("coder").unwrap(), ["a/x"]);
    assert_eq!(at("poet"), Err(ModelErrorKind::NoProvider));
}

#[test]
fn who_cannot_do_it_is_not_asked() {
    let map = map(&[("r", &["blind/m", "sees/m", "a/x"]), ("v", &["vectors/m"])]);
    let at = |target, needs| chain(&map, target, needs, 0.0);
    let vision = Needs {
        vision: true,
        ..Needs::default()
    };
    let long = Needs {
        input: 1000,
        ..Needs::default()
    };
    let embed = Needs {
        embed: true,
        ..Needs::default()
    };
    assert_eq!(at("r", vision).unwrap(), ["sees/m", "a/x"]);
    assert_eq!(at("r", long).unwrap(), ["sees/m", "a/x"]);
    assert_eq!(at("blind/m", vision), Err(ModelErrorKind::Unsupported));
    assert_eq!(at("blind/m", long), Err(ModelErrorKind::ContextFull));
    assert_eq!(at("v", embed).unwrap(), ["vectors/m"]);
    assert_eq!(at("v", Needs::default()), Err(ModelErrorKind::Unsupported));
    assert_eq!(at("sees/m", embed), Err(ModelErrorKind::Unsupported));
}

#[test]
fn the_script_is_in_no_chain_and_answers_only_where_nobody_else_is_set_up() {
    let demo = vec!["a/x".to_owned(), "demo/scripted-1".to_owned()];
    assert!(RoleRoutes::parse(&demo).unwrap_err().contains("script"));
    let mut map = map(&[("coder", &["gone/x"])]);
    map.else_ask = Route::parse("demo/scripted-1");
    let demo = Vendor {
        name: DEMO.into(),
        free: true,
    };
    map.vendors.insert(DEMO.into(), demo);
    let at = |target| chain(&map, target, Needs::default(), 0.0);
    assert_eq!(at("planner").unwrap(), ["demo/scripted-1"]);
    let why = "somebody set a model up, so nothing may stand in for it";
    assert_eq!(at("coder"), Err(ModelErrorKind::NoProvider), "{why}");
    assert_eq!(at("gone/x"), Err(ModelErrorKind::NotFound), "{why}");
}

#[test]
fn routes_that_cannot_be_read_are_refused() {
    for text in ["", "x", "/x", "x/", "a/x@0", "a/x | "] {
        assert!(RoleRoutes::parse(&[text.to_owned()]).is_err(), "{text}");
    }
    assert!(RoleRoutes::parse(&[]).is_err());
    let many = vec!["a/x".to_owned(); ROUTES_MAX + 1];
    assert!(RoleRoutes::parse(&many).is_err());
}

#[test]
fn needs_are_read_from_the_request() {
    let picture = Message {
        role: Role::User,
        parts: vec![Part::Image(Image::Url("https://x/y.png".to_owned()))],
    };
    let needs = Needs::of(&ChatRequest::to("r").message(picture));
    assert!(needs.vision && !needs.tools && needs.input > 0);
}

#[test]
fn a_passing_failure_is_tried_again_then_the_next_is_asked() {
    use ModelErrorKind as K;
    let mut tries = Tries::new(2, 2);
    assert_eq!(tries.after(&failed(K::Overloaded)), Next::Again(PAUSE));
    assert_eq!((tries.at(), tries.number()), (0, 2));
    assert_eq!(tries.after(&failed(K::Overloaded)), Next::Fallback);
    assert_eq!((tries.at(), tries.number()), (1, 3));
    assert_eq!(tries.after(&failed(K::Server)), Next::Again(PAUSE));
    assert_eq!(tries.after(&failed(K::Server)), Next::Stop);
}

#[test]
fn each_kind_of_failure_has_its_consequence() {
    use ModelErrorKind as K;
    let next = |kind| Tries::new(2, 2).after(&failed(kind));
    for kind in [
        K::RateLimited,
        K::Overloaded,
        K::Server,
        K::Connect,
        K::Timeout,
        K::Truncated,
    ] {
        assert_eq!(next(kind), Next::Again(PAUSE), "{kind:?}");
    }
    for kind in [K::Auth, K::Payment, K::NotFound] {
        assert_eq!(next(kind), Next::Fallback, "{kind:?}");
    }
    for kind in [
        K::BadRequest,
        K::ContentFilter,
        K::BudgetExceeded,
        K::Canceled,
        K::Internal,
    ] {
        assert_eq!(next(kind), Next::Stop, "{kind:?}");
    }
}

#[test]
fn who_says_when_is_believed_but_not_waited_for_long() {
    let mut error = failed(ModelErrorKind::RateLimited);
    error.retry_after = Some(Duration::from_secs(3));
    let again = Next::Again(Duration::from_secs(3));
    assert_eq!(Tries::new(2, 2).after(&error), again);
    error.retry_after = Some(PATIENCE + Duration::from_secs(1));
    assert_eq!(Tries::new(2, 2).after(&error), Next::Fallback);
    assert_eq!(Tries::new(1, 2).after(&error), Next::Stop);
    error.should_retry = Some(false);
    error.retry_after = None;
    assert_eq!(Tries::new(1, 2).after(&error), Next::Stop);
}

proptest! {
    /// Whatever fails in whatever order: tries end, and never go back.
    #[test]
    fn tries_come_to_an_end(routes in 1_usize..20, here in 1_u32..9, kinds in prop::collection::vec(0_u8..6, 64)) {
        use ModelErrorKind as K;
        let mut tries = Tries::new(routes, here);
        let mut at = 0;
        let mut over = false;
        for kind in kinds {
            let kind = [K::Server, K::Auth, K::Timeout, K::RateLimited, K::BadRequest, K::NotFound][usize::from(kind)];
            let next = tries.after(&failed(kind));
            prop_assert!(tries.at() >= at && tries.at() < routes && tries.number() <= TRIES_MAX);
            at = tries.at();
            if next == Next::Stop {
                over = true;
                break;
            }
        }
        prop_assert!(over, "64 failures and still trying");
    }

    /// Chance follows the weights, and nobody is left out of the chain.
    #[test]
    fn weights_are_kept(weights in prop::collection::vec(1_u32..100, 1..6)) {
        let step: Vec<_> = weights.iter().enumerate().map(|(n, w)| {
            (Route { provider: "a".into(), model: n.to_string().into() }, *w)
        }).collect();
        let all: u32 = weights.iter().sum();
        let mut seen = vec![0_u32; weights.len()];
        for n in 0..all {
            seen[chosen(&step, (f64::from(n) + 0.5) / f64::from(all))] += 1;
        }
        prop_assert_eq!(seen, weights.clone());
        let role = RoleRoutes { steps: vec![step], ..RoleRoutes::default() };
        prop_assert_eq!(ordered(&role, 0.5).count(), weights.len());
    }
}
