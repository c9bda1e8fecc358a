//! Reads a stored query (`pg_node_tree`): nodes in braces with `:name value`
//! fields, lists in parentheses, `<>` for nothing, a backslash before every
//! character that would otherwise mean something.
//!
//! Nodes lie in one vector and know each other by number: however deep an
//! expression is nested, neither reading nor dropping it recurses.

/// A node's number. 0 is always [`Value::Nothing`].
pub(super) type NodeId = usize;

/// What a place in the tree holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `<>`, a field without a value, or something we have no use for.
    Nothing,
    /// A number, a name, a flag.
    Text(String),
    /// A list.
    List(Vec<NodeId>),
    /// A node with the first value of each of its fields.
    Node {
        /// `QUERY`, `VAR` …
        kind: String,
        /// Name and value.
        fields: Vec<(String, NodeId)>,
    },
}

/// A whole tree.
#[derive(Debug)]
pub(super) struct Tree {
    values: Vec<Value>,
    root: NodeId,
}

/// Something that has begun and not yet ended.
enum Open {
    List(Vec<NodeId>),
    Node {
        kind: Option<String>,
        fields: Vec<(String, NodeId)>,
        /// The field that waits for its first value.
        waiting: Option<String>,
    },
}

impl Tree {
    /// Nothing when the text is not a tree.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tree = Self {
            values: vec![Value::Nothing],
            root: 0,
        };
        let mut open: Vec<Open> = Vec::new();
        let mut done = false;
        let tokens = Tokens { rest: text };
        for token in tokens {
            if done {
                return None;
            }
            let finished = match token.raw {
                "{" => {
                    open.push(Open::Node {
                        kind: None,
                        fields: Vec::new(),
                        waiting: None,
                    });
                    continue;
                }
                "(" => {
                    open.push(Open::List(Vec::new()));
                    continue;
                }
                "}" => match open.pop()? {
                    Open::Node {
                        kind: Some(kind),
                        mut fields,
                        waiting,
                    } => {
                        fields.extend(waiting.map(|name| (name, 0)));
                        tree.add(Value::Node { kind, fields })
                    }
                    _ => return None,
                },
                ")" => match open.pop()? {
                    Open::List(items) => tree.add(Value::List(items)),
                    Open::Node { .. } => return None,
                },
                _ => match tree.word(&mut open, token) {
                    Some(value) => value,
                    None => continue,
                },
            };
            match open.last_mut() {
                None => {
                    tree.root = finished;
                    done = true;
                }
                Some(Open::List(items)) => items.push(finished),
                Some(Open::Node {
                    fields, waiting, ..
                }) => fields.extend(waiting.take().map(|name| (name, finished))),
            }
        }
        (done && open.is_empty()).then_some(tree)
    }

    fn add(&mut self, value: Value) -> NodeId {
        self.values.push(value);
        self.values.len() - 1
    }

    /// A word is a node's kind, a field's name or a value; only a value comes
    /// back.
    fn word(&mut self, open: &mut [Open], token: Token<'_>) -> Option<NodeId> {
        if let Some(Open::Node {
            kind,
            fields,
            waiting,
        }) = open.last_mut()
        {
            if kind.is_none() {
                *kind = Some(token.text());
                return None;
            }
            if let Some(name) = token.raw.strip_prefix(':') {
                let next = name.to_owned();
                fields.extend(waiting.replace(next).map(|name| (name, 0)));
                return None;
            }
        }
        if token.raw == "<>" {
            return Some(0);
        }
        Some(self.add(Value::Text(token.text())))
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn value(&self, id: NodeId) -> &Value {
        self.values.get(id).unwrap_or(&Value::Nothing)
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self, id: NodeId) -> &[NodeId] {
        match self.value(id) {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn is(&self, id: NodeId, wanted: &str) -> bool {
        matches!(self.value(id), Value::Node { kind, .. } if kind == wanted)
    }

    /// A node's field; nothing when there is none.
    pub(super) fn field(&self, id: NodeId, name: &str) -> NodeId {
        match self.value(id) {
            Value::Node { fields, .. } => fields
                .iter()
                .find(|(known, _)| known == name)
                .map_or(0, |(_, value)| *value),
            _ => 0,
        }
    }

    /// A field that is a word.
    pub(super) fn text(&self, id: NodeId, name: &str) -> &str {
        match self.value(self.field(id, name)) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// A field that is a number; 0 when it is none.
    pub(super) fn number(&self, id: NodeId, name: &str) -> i64 {
        self.text(id, name).parse().unwrap_or(0)
    }

    /// The query of a view's rule.
    pub(super) fn query(&self) -> NodeId {
        match self.value(self.root()) {
            Value::List(items) => items.first().copied().unwrap_or(0),
            _ => self.root(),
        }
    }
}

#[derive(Clone, Copy)]
struct Token<'a> {
    raw: &'a str,
}

impl Token<'_> {
    /// Without the backslashes.
    fn text(self) -> String {
        let mut out = String::with_capacity(self.raw.len());
        let mut chars = self.raw.chars();
        while let Some(c) = chars.next() {
            out.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        out
    }
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n']);
        let mut escaped = false;
        let mut end = self.rest.len();
        for (index, byte) in self.rest.bytes().enumerate() {
            if escaped {
                escaped = false;
                continue;
            }
            match byte {
                b'\\' => escaped = true,
                b'(' | b')' | b'{' | b'}' => {
                    end = index.max(1);
                    break;
                }
                b' ' | b'\t' | b'\n' => {
                    end = index;
                    break;
                }
                _ => {}
            }
        }
        let (raw, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!raw.is_empty()).then_some(Token { raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_lists_names_and_nothing_are_told_apart() {
        let tree = Tree::parse(
            r"({QUERY :cteList <> :alias a\ \{b\} :args (i 1 2) :const 4 [ 1 0 ] :last {VAR :varno 2}})",
        )
        .expect("a tree");
        let query = tree.query();
        assert!(tree.is(query, "QUERY"));
        assert_eq!(tree.field(query, "cteList"), 0);
        assert_eq!(tree.text(query, "alias"), "a {b}");
        assert_eq!(tree.items(tree.field(query, "args")).len(), 3);
        assert_eq!(tree.number(query, "const"), 4);
        assert_eq!(tree.number(tree.field(query, "last"), "varno"), 2);
    }

    #[test]
    fn what_is_not_a_tree_is_refused_and_depth_does_no_harm() {
        for text in [
            "",
            "(",
            ")",
            "{",
            "{QUERY",
            "{QUERY} {QUERY}",
            "({A)}",
            "{}",
        ] {
            assert!(Tree::parse(text).is_none(), "{text}");
        }
        let deep = 200_000;
        let text = format!("{}{}", "(".repeat(deep), ")".repeat(deep));
        assert!(Tree::parse(&text).is_some());
    }
}
