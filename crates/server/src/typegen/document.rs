//! Types as data, and how each is laid out: the formatter's rules, without
//! semicolons, in eighty columns.

use super::layout::Layout;

/// Spaces a level.
const INDENT: usize = 2;

/// A type in TypeScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A keyword, or the name of a type of ours.
    Word(&'static str),
    /// A string as a type.
    Literal(String),
    /// `Database["public"]["Enums"]["mood"]`, ready to print.
    Access(String),
    /// `T[]`
    Array(Box<Type>),
    /// `A | B`; has at least two.
    Union(Vec<Type>),
    /// `Record<K, V>`
    Reference(&'static str, Vec<Type>),
    /// `{ a: A; b?: B }`
    Object {
        members: Vec<Member>,
        /// One member a line, even if all would fit on one.
        tall: bool,
    },
    /// `{ [_ in never]: never }`: a group in which there is nothing.
    NoKeys,
    /// `[A, B]`
    Tuple(Vec<Type>),
    /// `A & B`
    Both(Box<Type>, Box<Type>),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) optional: bool,
    pub(super) value: Type,
    /// Lines above it.
    pub(super) comment: &'static [&'static str],
}

impl Member {
    pub(super) fn new(key: impl Into<String>, value: Type) -> Self {
        Self {
            key: key.into(),
            optional: false,
            value,
            comment: &[],
        }
    }

    pub(super) fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    fn layout(&self) -> Layout {
        let mark = if self.optional { "?: " } else { ": " };
        let mut items = Vec::new();
        for line in self.comment {
            items.extend([Layout::text(*line), Layout::Hard]);
        }
        items.extend([
            Layout::text(key(&self.key)),
            Layout::text(mark),
            self.value.layout(),
        ]);
        Layout::Join(items)
    }
}

impl Type {
    /// One member a line.
    pub(super) fn tall(members: Vec<Member>) -> Self {
        Self::Object {
            members,
            tall: true,
        }
    }

    /// On one line, if it fits.
    pub(super) fn flat(members: Vec<Member>) -> Self {
        Self::Object {
            members,
            tall: false,
        }
    }

    /// A group of the schema, with the mark of an empty one.
    pub(super) fn keyed(members: Vec<Member>) -> Self {
        if members.is_empty() {
            Self::NoKeys
        } else {
            Self::tall(members)
        }
    }

    /// One of these; `never` when there are none.
    pub(super) fn union(mut types: Vec<Self>) -> Self {
        match types.len() {
            0 => Self::Word("never"),
            1 => types.pop().unwrap_or(Self::Word("never")),
            _ => Self::Union(types),
        }
    }

    /// A value that may be NULL, or not. `unknown` and `Json` include it.
    pub(super) fn nullable(self, nullable: bool) -> Self {
        match self {
            Self::Word("Json") if !nullable => Self::Reference("NonNullable", vec![self]),
            Self::Word("unknown") => self,
            _ if !nullable => self,
            Self::Union(mut types) => {
                types.push(Self::Word("null"));
                Self::Union(types)
            }
            _ => Self::Union(vec![self, Self::Word("null")]),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        match self {
            Self::Word(word) => Layout::text(*word),
            Self::Literal(text) => Layout::text(quoted(text)),
            Self::Access(path) => Layout::text(path.as_str()),
            Self::Array(element) => array_of(element),
            Self::Union(types) => match types.as_slice() {
                // `{ … } | null` hugs its object.
                [object @ Self::Object { .. }, Self::Word("null")] => {
                    Layout::Join(vec![object.layout(), Layout::text(" | null")])
                }
                types => Layout::group(vec![alternatives(types)]),
            },
            Self::Reference(name, arguments) => reference(name, arguments),
            Self::Object { members, tall } => object(members, *tall),
            Self::NoKeys => braces(vec![Layout::text("[_ in never]: never")], Layout::Hard),
            Self::Tuple(items) => brackets(items.iter().map(Self::layout).collect()),
            Self::Both(left, right) => {
                Layout::group(vec![left.layout(), Layout::text(" & "), right.layout()])
            }
        }
    }
}

fn array_of(element: &Type) -> Layout {
    let Type::Union(types) = element else {
        return Layout::Join(vec![element.layout(), Layout::text("[]")]);
    };
    Layout::Join(vec![
        Layout::text("("),
        Layout::group(vec![alternatives(types), Layout::Soft]),
        Layout::text(")[]"),
    ])
}

/// What `|` separates; when broken, one stands before each.
fn alternatives(types: &[Type]) -> Layout {
    let mut items = vec![Layout::Soft, Layout::IfBroken("| ")];
    for (index, one) in types.iter().enumerate() {
        if index > 0 {
            items.extend([Layout::Line, Layout::text("| ")]);
        }
        items.push(Layout::Indent(INDENT, vec![one.layout()]));
    }
    Layout::Indent(INDENT, items)
}

fn reference(name: &str, arguments: &[Type]) -> Layout {
    let open = Layout::text(format!("{name}<"));
    if let [argument] = arguments {
        return Layout::Join(vec![open, argument.layout(), Layout::text(">")]);
    }
    let mut items = vec![Layout::Soft];
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            items.extend([Layout::text(","), Layout::Line]);
        }
        items.push(argument.layout());
    }
    Layout::group(vec![
        open,
        Layout::Indent(INDENT, items),
        Layout::Soft,
        Layout::text(">"),
    ])
}

fn object(members: &[Member], tall: bool) -> Layout {
    if members.is_empty() {
        return Layout::text("{}");
    }
    let line = if tall { Layout::Hard } else { Layout::Line };
    let mut items = Vec::new();
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            items.extend([Layout::IfFlat(";"), line.clone()]);
        }
        items.push(member.layout());
    }
    braces(items, line)
}

fn braces(mut items: Vec<Layout>, line: Layout) -> Layout {
    items.insert(0, line.clone());
    Layout::group(vec![
        Layout::text("{"),
        Layout::Indent(INDENT, items),
        line,
        Layout::text("}"),
    ])
}

/// A list in brackets, of types or of values.
pub(super) fn brackets(elements: Vec<Layout>) -> Layout {
    if elements.is_empty() {
        return Layout::text("[]");
    }
    let mut items = vec![Layout::Soft];
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            items.extend([Layout::text(","), Layout::Line]);
        }
        items.push(element);
    }
    Layout::group(vec![
        Layout::text("["),
        Layout::Indent(INDENT, items),
        Layout::IfBroken(","),
        Layout::Soft,
        Layout::text("]"),
    ])
}

/// An object as a value, one entry a line.
pub(super) fn value(entries: Vec<(&str, Layout)>) -> Layout {
    if entries.is_empty() {
        return Layout::text("{}");
    }
    let mut items = Vec::new();
    for (name, entry) in entries {
        items.extend([
            Layout::Hard,
            Layout::text(key(name)),
            Layout::text(": "),
            entry,
            Layout::text(","),
        ]);
    }
    Layout::group(vec![
        Layout::text("{"),
        Layout::Indent(INDENT, items),
        Layout::Hard,
        Layout::text("}"),
    ])
}

/// A member's name, in quotes only where it is no identifier.
fn key(name: &str) -> String {
    let mut chars = name.chars();
    let start = |c: char| c == '$' || c == '_' || unicode_ident::is_xid_start(c);
    let rest = |c: char| c == '$' || unicode_ident::is_xid_continue(c);
    if chars.next().is_some_and(start) && chars.all(rest) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A string in the quotes that need fewer backslashes.
pub(super) fn quoted(text: &str) -> String {
    let escaped = serde_json::Value::from(text).to_string();
    let count = |quote| text.matches(quote).count();
    if count('"') <= count('\'') {
        return escaped;
    }
    let inner = escaped
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_default();
    let mut out = String::from("'");
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('"') => out.push('"'),
                next => {
                    out.push('\\');
                    out.extend(next);
                }
            },
            '\'' => out.push_str("\\'"),
            _ => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A list of names as JSON, which is how lists are compared.
pub(super) fn array(names: &[String]) -> String {
    serde_json::Value::from(names.to_vec()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::layout::print;
    use super::*;

    #[test]
    fn only_identifiers_stand_without_quotes() {
        for (name, expected) in [
            ("id", "id"),
            ("$x", "$x"),
            ("日本", "日本"),
            ("1st", r#""1st""#),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r#"a"b"#, r#"'a"b'"#),
            (r#"a"b'c'"#, r#""a\"b'c'""#),
            ("a\\\"\n\"", r#"'a\\"\n"'"#),
        ] {
            assert_eq!(key(name), expected);
        }
    }

    #[test]
    fn long_unions_break_and_arrays_of_them_keep_their_parentheses() {
        let long = |c: &str| Type::Literal(c.repeat(40));
        let member = Member::new(
            "a",
            Type::Array(Box::new(Type::Union(vec![long("x"), long("y")]))).nullable(true),
        );
        let (x, y) = ("x".repeat(40), "y".repeat(40));
        assert_eq!(
            print(&Type::flat(vec![member]).layout()),
            format!(
                "{{\n  a:\n    | (\n        | \"{x}\"\n        | \"{y}\"\n      )[]\n    | null\n}}"
            )
        );
    }

    #[test]
    fn null_is_added_where_it_is_not_included_already() {
        assert_eq!(Type::Word("unknown").nullable(true), Type::Word("unknown"));
        assert_eq!(
            print(&Type::Word("Json").nullable(false).layout()),
            "NonNullable<Json>"
        );
        assert_eq!(
            print(&Type::Word("string").nullable(true).layout()),
            "string | null"
        );
    }
}
