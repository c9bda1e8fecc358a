//! What query strings mean, what is wrong with the bad ones, and that what
//! is written down can be read again.

#![expect(clippy::unwrap_used, reason = "tests")]

pub(in crate::call) mod generate;
pub(in crate::call) mod render;
mod roundtrip;

use super::*;
use crate::call::parsec::MAX_DEPTH;

fn query(raw: &str) -> Query {
    parse(raw, Unparsed::Mistake).unwrap().query
}

fn mistake(raw: &str) -> (String, String) {
    match parse(raw, Unparsed::Mistake) {
        Err(RestError::Query(failure)) => (failure.message, failure.details),
        other => (
            format!("{:?}", other.map(|parsed| parsed.query)),
            String::new(),
        ),
    }
}

/// Each line: a query string, and how its parts read when written back.
#[test]
fn queries_read() {
    for (raw, expected) in [
        ("", "select \"*\""),
        ("select=", "select "),
        ("select=id,name", "select \"id\",\"name\""),
        (
            "select=a:data->b->>1::text , *",
            "select \"a\":\"data\"->\"b\"->>1::text,\"*\"",
        ),
        (
            "select=n:count()::int,amount.sum()::text,x::int.max()",
            "select \"n\":count()::int,\"amount\".sum()::text,\"x\"::int.max()",
        ),
        (
            "select=id,c:clients!fk!inner(id,...t!left(*)),x()",
            "select \"id\",\"c\":\"clients\"!\"fk\"!inner(\"id\",...\"t\"!left(\"*\")),\"x\"()",
        ),
        (
            "select=\"a,\\\"b\",with space,with-dash",
            "select \"a,\\\"b\",\"with space\",\"with-dash\"",
        ),
        (
            "id=eq.1&a.b.c->d=not.like(any).{x%25,%y}&z=is.NOT_NULL",
            "select \"*\" & \"id\"=eq.1 & \"a\".\"b\".\"c\"->\"d\"=not.like(any).{x%,%y} & \"z\"=is.not_null",
        ),
        (
            "id=in.(1,\"a,b\",\"c\\\"d\",)&t=fts(english).a+b&u=isdistinct.5&v=cs.{1}",
            "select \"*\" & \"id\"=in.(\"1\",\"a,b\",\"c\\\"d\",\"\") & \"t\"=fts(english).a b & \"u\"=isdistinct.5 & \"v\"=cs.{1}",
        ),
        (
            "or=(a.eq.1,not.and(b.lt.2,c.in.(1,2)),d.cs.{1,2},e.eq.\"x,y\")",
            "select \"*\" & or(\"a\".eq.\"1\",not.and(\"b\".lt.\"2\",\"c\".in.(\"1\",\"2\")),\"d\".cs.\"{1,2}\",\"e\".eq.\"x,y\")",
        ),
        (
            "a.not.or=(x.is.null,y.gt.1)&not.and=(q.eq.1)",
            "select \"*\" & \"a\".not.or(\"x\".is.null,\"y\".gt.\"1\") & not.and(\"q\".eq.\"1\")",
        ),
        (
            "order=a.desc.nullslast,r(b->c).asc,d&x.y.order=id.nullsfirst",
            "select \"*\" & order=\"a\".desc.nullslast,\"r\"(\"b\"->\"c\").asc,\"d\" & \"x\".\"y\".order=\"id\".nullsfirst",
        ),
        (
            "limit=5&offset=2&a.limit=3&a.offset=1&b.limit=0",
            "select \"*\" & 5@2 & \"a\".3@1 & \"b\".0@0",
        ),
        (
            "columns=a,\"b c\"&on_conflict=x , y",
            "select \"*\" & columns=\"a\",\"b c\" & on_conflict=\"x\",\"y\"",
        ),
        ("empty&select", "select \"*\""),
    ] {
        assert_eq!(render::query(&query(raw)), expected, "{raw}");
    }
}

/// Arguments of functions are what is no filter.
#[test]
fn arguments_and_filters_part() {
    let raw = "min=2&name=a.b&id=eq.5&x.y=v&select=id&limit=1";
    let query = parse(raw, Unparsed::Argument).unwrap().query;
    let params: Vec<_> = query
        .params
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(params, [("min", "2"), ("name", "a.b"), ("y", "v")]);
    assert_eq!(query.filters.len(), 1);
    // `in.` promises a list, for arguments as well.
    assert!(parse("a=in.x", Unparsed::Argument).is_err());
}

#[test]
fn parameters_are_sorted_and_encoded_again() {
    assert_eq!(query("b=eq.1&a=eq.1").canonical, "a=eq.1&b=eq.1");
    assert_eq!(
        query("k=eq.%c3%A9&a=eq.x+y~&b&a=eq.(1)&").canonical,
        "a=eq.x%20y~,eq.%281%29&b=&k=eq.%C3%A9"
    );
}

#[test]
fn decoding_is_lenient_with_percent_signs_and_strict_with_bytes() {
    assert_eq!(
        render::query(&query("a=like(any).{%plan%,%brain%}&b=eq.a+b%2Bc")),
        "select \"*\" & \"a\"=like(any).{%plan%,%brain%} & \"b\"=eq.a b+c"
    );
    for raw in ["a=eq.%00", "%FF=eq.1"] {
        let error = parse(raw, Unparsed::Mistake).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "22021");
    }
}

/// Texts that clients of upstream see: a query string, message, details.
const MISTAKES: [(&str, &str, &str); 20] = [
    (
        "or=()",
        "\"failed to parse logic tree (())\" (line 1, column 4)",
        "unexpected \")\" expecting field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)",
    ),
    (
        "columns=",
        "\"failed to parse columns parameter ()\" (line 1, column 1)",
        "unexpected end of input expecting field name (* or [a..z0..9_$])",
    ),
    (
        "id=0",
        "\"failed to parse filter (0)\" (line 1, column 1)",
        "unexpected \"0\" expecting \"not\" or operator (eq, gt, ...)",
    ),
    (
        "id=noop.0",
        "\"failed to parse filter (noop.0)\" (line 1, column 1)",
        "unexpected \"o\" expecting \"not\" or operator (eq, gt, ...)",
    ),
    (
        "id=fts().v",
        "\"failed to parse filter (fts().v)\" (line 1, column 5)",
        "unexpected \")\" expecting operator (eq, gt, ...)",
    ),
    (
        "id=in().v",
        "\"failed to parse filter (in().v)\" (line 1, column 3)",
        "unexpected \"(\" expecting operator (eq, gt, ...)",
    ),
    (
        "order=id.asc.nullslasttt",
        "\"failed to parse order (id.asc.nullslasttt)\" (line 1, column 17)",
        "unexpected 't' expecting \",\" or end of input",
    ),
    (
        "order=id.descc",
        "\"failed to parse order (id.descc)\" (line 1, column 8)",
        "unexpected 'c' expecting delimiter (.), \",\" or end of input",
    ),
    (
        "order=id.ac",
        "\"failed to parse order (id.ac)\" (line 1, column 4)",
        "unexpected \"c\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"",
    ),
    (
        "order=id.asc.nlsfst",
        "\"failed to parse order (id.asc.nlsfst)\" (line 1, column 8)",
        "unexpected \"l\" expecting \"nullsfirst\" or \"nullslast\"",
    ),
    (
        "order=clients(name,id)",
        "\"failed to parse order (clients(name,id))\" (line 1, column 8)",
        "unexpected '(' expecting letter, digit, \"-\", \"->>\", \"->\", delimiter (.), \",\" or end of input",
    ),
    (
        "select=id,clients(name[])",
        "\"failed to parse select parameter (id,clients(name[]))\" (line 1, column 16)",
        "unexpected '[' expecting letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input",
    ),
    (
        "select=data->>-78xy",
        "\"failed to parse select parameter (data->>-78xy)\" (line 1, column 11)",
        "unexpected 'x' expecting digit, \"->\", \"::\", \".\", \",\" or end of input",
    ),
    (
        "select=data->>--34",
        "\"failed to parse select parameter (data->>--34)\" (line 1, column 9)",
        "unexpected \"-\" expecting digit",
    ),
    (
        "select=name::",
        "\"failed to parse select parameter (name::)\" (line 1, column 7)",
        "unexpected end of input expecting letter or digit",
    ),
    (
        "select=data->(!@#$%^%26*_d->>!@#$%^%26*_e::integer",
        "\"failed to parse select parameter (data->(!@#$%^&*_d->>!@#$%^&*_e::integer)\" (line 1, column 7)",
        "unexpected \"(\" expecting \"-\", digit or any non reserved character different from: .,>()",
    ),
    (
        "or=(id.in.1,2,id.eq.3)",
        "\"failed to parse logic tree ((id.in.1,2,id.eq.3))\" (line 1, column 10)",
        "unexpected \"1\" expecting \"(\"",
    ),
    (
        "or=)(",
        "\"failed to parse logic tree ()()\" (line 1, column 3)",
        "unexpected \")\" expecting \"(\"",
    ),
    (
        "and=(ord(id.eq.1,id.eq.1),id.eq.2)",
        "\"failed to parse logic tree ((ord(id.eq.1,id.eq.1),id.eq.2))\" (line 1, column 7)",
        "unexpected \"d\" expecting \"(\"",
    ),
    (
        "or=(id.eq.1,not.xor(id.eq.2,id.eq.3))",
        "\"failed to parse logic tree ((id.eq.1,not.xor(id.eq.2,id.eq.3)))\" (line 1, column 16)",
        "unexpected \"x\" expecting logic operator (and, or)",
    ),
];

#[test]
fn mistakes_read_as_upstream_words_them() {
    for (raw, message, details) in MISTAKES {
        assert_eq!(
            mistake(raw),
            (message.to_owned(), details.to_owned()),
            "{raw}"
        );
    }
}

#[test]
fn nesting_is_bounded() {
    let filter =
        |depth: usize| format!("and=({}a.eq.1{})", "and(".repeat(depth), ")".repeat(depth));
    let select = |depth: usize| format!("select={}id{}", "a(".repeat(depth), ")".repeat(depth));
    for build in [filter as fn(usize) -> String, select] {
        assert!(parse(&build(MAX_DEPTH - 1), Unparsed::Mistake).is_ok());
        let (_, details) = mistake(&build(MAX_DEPTH + 1));
        assert_eq!(details, "nested more than 64 levels deep");
        let (_, details) = mistake(&build(10_000));
        assert_eq!(details, "nested more than 64 levels deep");
    }
}
