//! Any tree, written down and read again, is the same tree.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{field, filter, order, select};
use super::{generate, render};
use crate::call::parsec;

proptest! {
    #[test]
    fn filters(field in generate::any_field(generate::key_or_index()), expr in generate::op_expr()) {
        let key = render::field(&field);
        let (path, read) = parsec::run("path", &key, field::tree_path).unwrap();
        prop_assert!(path.is_empty());
        prop_assert_eq!(read, field);
        let text = render::expr(&expr, str::to_owned);
        let read = parsec::run("filter", &text, |p| filter::op_expr(p, filter::whole_value)).unwrap();
        prop_assert_eq!(read, expr);
    }

    #[test]
    fn trees(tree in generate::tree()) {
        let text = render::logic(&tree);
        prop_assert_eq!(parsec::run("tree", &text, filter::logic_tree).unwrap(), tree);
    }

    #[test]
    fn selects(items in vec(generate::item(), 0..4)) {
        let text = render::items(&items);
        prop_assert_eq!(parsec::run("select", &text, select::forest).unwrap(), items);
    }

    #[test]
    fn orders(terms in vec(generate::term(), 1..4)) {
        let text: Vec<_> = terms.iter().map(render::term).collect();
        prop_assert_eq!(parsec::run("order", &text.join(","), order::order).unwrap(), terms);
    }

    /// Whatever comes in, an answer comes out.
    #[test]
    fn nothing_panics(raw in "[a-z(){}.,!*:&=%\"\\\\> 0-9-]{0,60}") {
        let _ = super::parse(&raw, super::Unparsed::Argument);
        let _ = super::parse(&format!("select={raw}&order={raw}&or={raw}"), super::Unparsed::Mistake);
    }
}
