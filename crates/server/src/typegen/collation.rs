//! The order of names: English, as the official generator sorts them, wherever
//! and in whatever locale we run.

use std::cell::RefCell;
use std::cmp::Ordering;

use feruca::{Collator, Tailoring};

/// Compares names as people would: `a`, `A`, `ä`, `b`.
pub(super) struct Collation(RefCell<Collator>);

impl Collation {
    pub(super) fn english() -> Self {
        // English has no rules beside the root's. Punctuation counts, and
        // what is equal by the rules stays in the order it came.
        Self(RefCell::new(Collator::new(
            Tailoring::default(),
            false,
            false,
        )))
    }

    pub(super) fn compare(&self, a: &str, b: &str) -> Ordering {
        self.0.borrow_mut().collate(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_the_rules_of_english() {
        let collation = Collation::english();
        let mut names = [
            "zebra", "Zebra2", "_zebra", "zebra-x", "zebrá", "$x", "Äpfel", "apfel", "a10", "a2",
            "A", "a", "日本", "1",
        ];
        names.sort_by(|a, b| collation.compare(a, b));
        let expected = [
            "_zebra", "$x", "1", "a", "A", "a10", "a2", "apfel", "Äpfel", "zebra", "zebrá",
            "zebra-x", "Zebra2", "日本",
        ];
        assert_eq!(names, expected);
    }
}
