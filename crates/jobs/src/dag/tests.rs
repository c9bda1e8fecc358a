//! Submissions that can end, and those that never would.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use super::{DEPTH_MAX, DagError, JOBS_MAX, Node, check};

fn job<'a>(name: &'a str, parent: Option<&'a str>, depends_on: &[&'a str]) -> Node<'a> {
    Node {
        name: Some(name),
        parent,
        depends_on: depends_on.to_vec(),
        ..Node::default()
    }
}

fn group<'a>(name: &'a str, parent: Option<&'a str>) -> Node<'a> {
    Node {
        is_group: true,
        ..job(name, parent, &[])
    }
}

#[test]
fn a_tree_with_a_join_has_depths_and_levels() {
    let nodes = [
        group("film", None),
        group("scenes", Some("film")),
        job("one", Some("scenes"), &[]),
        job("two", Some("scenes"), &["one"]),
        job("cut", Some("film"), &["scenes"]),
        job("tell", None, &["film"]),
    ];
    let dag = check(&nodes, 2).unwrap();
    assert_eq!(dag.depths, [2, 3, 4, 4, 3, 2]);
    assert_eq!(dag.levels, [0, 0, 0, 1, 2, 3]);
}

#[test]
fn a_circle_is_told_by_its_names() {
    let nodes = [
        job("a", None, &[]),
        job("b", None, &["a", "d"]),
        job("c", None, &["b"]),
        job("d", None, &["c"]),
        job("e", None, &["d"]),
    ];
    let error = check(&nodes, 0).unwrap_err();
    assert_eq!(error.code(), "cycle");
    assert_eq!(
        error.to_string(),
        r#"jobs wait for each other in a circle: "b" → "d" → "c" → "b""#
    );
    let own = check(&[job("a", None, &["a"])], 0).unwrap_err();
    assert_eq!(own, DagError::Cycle(vec![r#""a""#.into()]));
}

#[test]
fn a_child_cannot_wait_for_its_group_nor_for_who_does() {
    let on_parent = [group("g", None), job("c", Some("g"), &["g"])];
    assert_eq!(check(&on_parent, 0).unwrap_err().code(), "cycle");
    let by_two_groups = [
        group("g", None),
        group("h", None),
        job("a", Some("g"), &["h"]),
        job("b", Some("h"), &["g"]),
    ];
    assert_eq!(check(&by_two_groups, 0).unwrap_err().code(), "cycle");
    let on_handler = [job("h", None, &[]), job("c", Some("h"), &["h"])];
    assert_eq!(check(&on_handler, 0).unwrap().levels, [0, 1]);
    let own_grandparent = [job("a", Some("b"), &[]), job("b", Some("a"), &[])];
    assert_eq!(check(&own_grandparent, 0).unwrap_err().code(), "cycle");
}

#[test]
fn names_are_unique_and_known() {
    let twice = [job("a", None, &[]), job("a", None, &[])];
    assert_eq!(check(&twice, 0).unwrap_err(), DagError::Twice("a".into()));
    let unnamed = Node {
        depends_on: vec!["b"],
        ..Node::default()
    };
    let unknown = check(&[unnamed], 0).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"job #1 refers to "b", which is not in this submission"#
    );
    let repeated = [job("a", None, &[]), job("b", None, &["a", "a"])];
    assert_eq!(check(&repeated, 0).unwrap_err().code(), "invalid");
}

#[test]
fn what_is_needed_must_be_there() {
    let quorum = |need, depends_outside| {
        let last = Node {
            need: Some(need),
            depends_outside,
            ..job("b", None, &["a"])
        };
        check(&[job("a", None, &[]), last], 0)
    };
    assert!(quorum(1, 0).is_ok());
    assert!(quorum(2, 1).is_ok());
    assert_eq!(quorum(2, 0).unwrap_err().code(), "invalid");
    let waiting_group = Node {
        depends_outside: 1,
        ..group("g", None)
    };
    assert_eq!(check(&[waiting_group], 0).unwrap_err().code(), "invalid");
}

#[test]
fn depth_and_size_have_limits() {
    let names: Vec<String> = (0..=DEPTH_MAX + 1).map(|n| n.to_string()).collect();
    let line: Vec<Node<'_>> = names
        .iter()
        .enumerate()
        .map(|(at, name)| job(name, at.checked_sub(1).map(|up| names[up].as_str()), &[]))
        .collect();
    assert_eq!(check(&line, 0).unwrap_err().code(), "over_limit");
    let fits = &line[..line.len() - 1];
    assert_eq!(check(fits, 0).unwrap().depths.last(), Some(&DEPTH_MAX));
    assert!(check(fits, 1).is_err());
    assert!(check(&vec![Node::default(); JOBS_MAX], 0).is_ok());
    let error = check(&vec![Node::default(); JOBS_MAX + 1], 0).unwrap_err();
    assert_eq!(error.code(), "over_limit");
    let layer: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let wide = Node {
        depends_on: layer.iter().map(String::as_str).collect(),
        ..Node::default()
    };
    let mut dense: Vec<Node<'_>> = layer.iter().map(|name| job(name, None, &[])).collect();
    dense.extend(vec![wide; 251]);
    assert_eq!(check(&dense, 0).unwrap_err().code(), "over_limit");
    dense.pop();
    assert!(check(&dense, 0).is_ok());
}

#[test]
fn a_long_circle_is_found_without_recursion_and_told_in_part() {
    let names: Vec<String> = (0..JOBS_MAX).map(|n| n.to_string()).collect();
    let ring: Vec<Node<'_>> = names
        .iter()
        .enumerate()
        .map(|(at, name)| job(name, None, &[&names[(at + 1) % names.len()]]))
        .collect();
    let told = check(&ring, 0).unwrap_err().to_string();
    assert!(told.len() < 300 && told.contains('…'), "{told}");
}
