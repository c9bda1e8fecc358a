//! Lays text out within a line width, by Wadler's algorithm as prettier has it:
//! a group is put on one line if it fits, and broken at its own lines if not.
//!
//! [`print()`] walks the tree with a stack of its own.

use unicode_width::UnicodeWidthStr as _;

/// A line holds this many columns if it can.
const WIDTH: usize = 80;

/// Text with places where it may break.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    Text(String),
    /// A space, or a new line in a broken group.
    Line,
    /// Nothing, or a new line in a broken group.
    Soft,
    /// A new line in any case; the groups around it are broken.
    Hard,
    /// The text in a broken group only.
    IfBroken(&'static str),
    /// The text in an unbroken group only.
    IfFlat(&'static str),
    /// New lines inside are indented by so much more.
    Indent(usize, Vec<Layout>),
    Group {
        items: Vec<Layout>,
        broken: bool,
    },
    Join(Vec<Layout>),
}

impl Layout {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A group, broken from the start when there is a hard line inside.
    pub(super) fn group(items: Vec<Self>) -> Self {
        let broken = items.iter().any(Self::breaks);
        Self::Group { items, broken }
    }

    fn breaks(&self) -> bool {
        match self {
            Self::Hard => true,
            Self::Group { broken, .. } => *broken,
            Self::Indent(_, items) | Self::Join(items) => items.iter().any(Self::breaks),
            _ => false,
        }
    }
}

/// What is yet to be printed: indentation, whether lines break, what.
type Todo<'a> = (usize, bool, &'a Layout);

/// The text. Nothing ends in a space.
pub(super) fn print(layout: &Layout) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut todo: Vec<Todo<'_>> = vec![(0, true, layout)];
    while let Some((indent, broken, next)) = todo.pop() {
        match next {
            Layout::Text(text) => {
                out.push_str(text);
                column += text.width();
            }
            Layout::Line if !broken => {
                out.push(' ');
                column += 1;
            }
            Layout::Soft if !broken => {}
            Layout::Line | Layout::Soft | Layout::Hard => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            Layout::IfBroken(text) if broken => {
                out.push_str(text);
                column += text.len();
            }
            Layout::IfFlat(text) if !broken => {
                out.push_str(text);
                column += text.len();
            }
            Layout::IfBroken(_) | Layout::IfFlat(_) => {}
            Layout::Indent(more, items) => push(&mut todo, indent + more, broken, items),
            Layout::Join(items) => push(&mut todo, indent, broken, items),
            Layout::Group {
                items,
                broken: forced,
            } => {
                let flat = !forced && fits(items, &todo, WIDTH.saturating_sub(column));
                push(&mut todo, indent, !flat, items);
            }
        }
    }
    out
}

fn push<'a>(todo: &mut Vec<Todo<'a>>, indent: usize, broken: bool, items: &'a [Layout]) {
    todo.extend(items.iter().rev().map(|item| (indent, broken, item)));
}

/// Whether the items on one line, with what follows up to the next place where
/// a line may end, leave the line within its width.
fn fits(items: &[Layout], rest: &[Todo<'_>], room: usize) -> bool {
    let mut used = 0;
    let mut rest = rest.iter().rev();
    let mut todo: Vec<(bool, &Layout)> = items.iter().rev().map(|item| (false, item)).collect();
    loop {
        let (broken, next) = match todo.pop() {
            Some(next) => next,
            None => match rest.next() {
                Some((_, broken, next)) => (*broken, *next),
                None => return true,
            },
        };
        match next {
            Layout::Text(text) => used += text.width(),
            Layout::Hard => return true,
            Layout::Line | Layout::Soft if broken => return true,
            Layout::Line => used += 1,
            Layout::IfBroken(text) if broken => used += text.len(),
            Layout::IfFlat(text) if !broken => used += text.len(),
            Layout::Soft | Layout::IfBroken(_) | Layout::IfFlat(_) => {}
            Layout::Indent(_, items) | Layout::Join(items) => {
                todo.extend(items.iter().rev().map(|item| (broken, item)));
            }
            Layout::Group {
                items,
                broken: forced,
            } => {
                let broken = broken || *forced;
                todo.extend(items.iter().rev().map(|item| (broken, item)));
            }
        }
        if used > room {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Layout {
        let mut items = vec![Layout::Soft];
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                items.extend([Layout::text(","), Layout::Line]);
            }
            items.push(Layout::text(*word));
        }
        Layout::group(vec![
            Layout::text("["),
            Layout::Indent(2, items),
            Layout::IfBroken(","),
            Layout::Soft,
            Layout::text("]"),
        ])
    }

    #[test]
    fn a_group_breaks_when_it_does_not_fit() {
        assert_eq!(print(&list(&["a", "b"])), "[a, b]");
        let long = "x".repeat(77);
        assert_eq!(
            print(&list(&[&long, "b"])),
            format!("[\n  {long},\n  b,\n]")
        );
    }

    #[test]
    fn what_follows_on_the_same_line_counts() {
        let word = "x".repeat(70);
        let layout = Layout::Join(vec![list(&[&word]), Layout::text(" as something long")]);
        assert!(print(&layout).starts_with("[\n"));
        let layout = Layout::Join(vec![list(&[&word]), Layout::Hard, Layout::text("tail")]);
        assert!(print(&layout).starts_with("[x"));
    }
}
