//! A value as the schema means it: `"3"` becomes 3 where a number is wanted,
//! one thing becomes a list of one, and what cannot be meant is no fit.
//!
//! Start with [`Coercer::fit`]. Nothing is made up: a member that is missing is
//! missing, unless the schema itself has a default for it. In an answer that is
//! still coming ([`Coercer::partial`]), only what no later text can change is
//! taken over, and texts, objects and lists as far as they are.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::structured::lenient::{Kind, Node, parse_at};
use crate::structured::scalars;

/// How deep values and references are followed.
const DEPTH_MAX: usize = 128;

/// Pieces looked at for one answer: branches within branches multiply.
const STEPS_MAX: u32 = 2_000_000;

/// What it costs to read something as something else. Less is better; the
/// steps only put readings in order.
pub(crate) mod cost {
    pub(crate) const SPELLING: u32 = 1;
    pub(crate) const KIND: u32 = 2;
    pub(crate) const WRAPPED: u32 = 4;
    pub(crate) const GUESS: u32 = 6;
    pub(crate) const DROPPED: u32 = 1;
    pub(crate) const DEFAULT: u32 = 20;
}

/// A reading of a value.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    pub value: Value,
    /// How far it is from what was written.
    pub cost: u32,
    /// A default of the schema stands in it.
    pub fallback: bool,
    /// What of it is complete.
    pub progress: Progress,
}

/// What of a value is complete: all of it, or some of what is below.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub done: bool,
    pub below: Vec<(String, Progress)>,
}

impl Fit {
    pub(crate) fn of(value: Value, cost: u32) -> Self {
        Self {
            value,
            cost,
            fallback: false,
            progress: Progress {
                done: true,
                below: Vec::new(),
            },
        }
    }

    fn dearer(mut self, by: u32) -> Self {
        self.cost = self.cost.saturating_add(by);
        self
    }
}

pub(crate) struct Coercer<'a> {
    root: &'a Value,
    /// The answer is still coming.
    pub partial: bool,
    steps: Cell<u32>,
}

impl<'a> Coercer<'a> {
    pub(crate) fn new(root: &'a Value, partial: bool) -> Self {
        let steps = Cell::new(STEPS_MAX);
        Self {
            root,
            partial,
            steps,
        }
    }

    /// The best reading of this value by the whole schema.
    pub(crate) fn root(&self, node: &Node) -> Option<Fit> {
        self.fit(node, self.root, 0)
    }

    /// The best reading of this value by this part of the schema.
    pub(crate) fn fit(&self, node: &Node, schema: &Value, depth: usize) -> Option<Fit> {
        let left = self.steps.get().checked_sub(1)?;
        self.steps.set(left);
        if depth > DEPTH_MAX {
            return None;
        }
        let Some(fields) = schema.as_object() else {
            return (schema != &Value::Bool(false)).then(|| self.anything(node))?;
        };
        if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
            let there = to.strip_prefix('#').and_then(|to| self.root.pointer(to))?;
            return self.fit(node, there, depth + 1);
        }
        if let Some(all) = fields.get("allOf").and_then(Value::as_array) {
            let merged = self.merged(fields, all);
            return self.fit(node, &merged, depth + 1);
        }
        if let Some(words) = scalars::words(fields) {
            return self.word(node, &words);
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(branches) = fields.get(name).and_then(Value::as_array) {
                let branches = branches.iter();
                return self.best(node, branches.map(|it| (it, None)), depth);
            }
        }
        match fields.get("type") {
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().map(|kind| (schema, kind.as_str()));
                self.best(node, kinds, depth)
            }
            Some(Value::String(kind)) => self.typed(node, fields, kind, depth),
            _ if fields.contains_key("properties") => self.typed(node, fields, "object", depth),
            _ if fields.contains_key("items") => self.typed(node, fields, "array", depth),
            _ => self.anything(node),
        }
    }

    /// The cheapest of several readings. While the answer is coming, a cheaper
    /// one may still come up: then only a branch without rivals is taken.
    fn best<'s>(
        &self,
        node: &Node,
        branches: impl Iterator<Item = (&'s Value, Option<&'s str>)>,
        depth: usize,
    ) -> Option<Fit> {
        let fits = branches.filter_map(|(schema, kind)| match (kind, schema.as_object()) {
            (Some(kind), Some(fields)) => self.typed(node, fields, kind, depth + 1),
            _ => self.fit(node, schema, depth + 1),
        });
        let mut fits: Vec<Fit> = fits.collect();
        if self.partial && !node.complete && fits.len() > 1 {
            return None;
        }
        let at = (0..fits.len()).min_by_key(|at| fits.get(*at).map(|fit| fit.cost))?;
        Some(fits.swap_remove(at))
    }

    /// Several schemas at once, as one.
    fn merged(&self, fields: &Map<String, Value>, all: &[Value]) -> Value {
        let mut merged = fields.clone();
        merged.remove("allOf");
        for one in all.iter().take(DEPTH_MAX) {
            let to = one.get("$ref").and_then(Value::as_str);
            let to = to.and_then(|to| self.root.pointer(to.strip_prefix('#')?));
            let Some(one) = to.unwrap_or(one).as_object() else {
                continue;
            };
            for (name, value) in one {
                match (merged.get_mut(name), value) {
                    (Some(Value::Object(known)), Value::Object(more)) => {
                        known.extend(more.clone());
                    }
                    (Some(Value::Array(known)), Value::Array(more)) if name == "required" => {
                        known.extend(more.iter().cloned());
                    }
                    (Some(_), _) => {}
                    (None, _) => {
                        merged.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        Value::Object(merged)
    }

    fn typed(
        &self,
        node: &Node,
        fields: &Map<String, Value>,
        kind: &str,
        depth: usize,
    ) -> Option<Fit> {
        match kind {
            "object" => self.object(node, fields, depth),
            "array" => self.array(node, fields, depth),
            "string" => self.text(node),
            "number" => self.whole(node, |node| scalars::number(node, false)),
            "integer" => self.whole(node, |node| scalars::number(node, true)),
            "boolean" => self.whole(node, scalars::boolean),
            "null" => self.whole(node, scalars::null),
            _ => None,
        }
    }

    /// Values that are either complete or nothing.
    fn whole(&self, node: &Node, read: impl Fn(&Kind) -> Option<(Value, u32)>) -> Option<Fit> {
        if self.partial && !node.complete {
            return None;
        }
        let (value, cost) = match &node.kind {
            // A list of one.
            Kind::Array(items) => match items.as_slice() {
                [one] if !matches!(one.kind, Kind::Array(_)) => {
                    let (value, cost) = read(&one.kind)?;
                    (value, cost + cost::KIND)
                }
                _ => return None,
            },
            kind => read(kind)?,
        };
        Some(Fit::of(value, cost))
    }

    /// One of a few words.
    fn word(&self, node: &Node, words: &[scalars::Word]) -> Option<Fit> {
        self.whole(node, |kind| scalars::one_of(kind, words))
    }

    fn text(&self, node: &Node) -> Option<Fit> {
        let (text, cost) = match &node.kind {
            Kind::Text(text) => {
                let mut fit = Fit::of(text.as_str().into(), 0);
                fit.progress.done = node.complete;
                return Some(fit);
            }
            _ if self.partial && !node.complete => return None,
            Kind::Bare(text) if scalars::null(&node.kind).is_some() => {
                // `null` is no text, but a word may be.
                return (text != "null").then(|| Fit::of(text.as_str().into(), cost::GUESS));
            }
            Kind::Bare(text) => (text.clone(), cost::KIND),
            // A file's content given as what it contains.
            Kind::Array(_) | Kind::Object(_) => {
                let value = self.anything(node)?.value;
                (serde_json::to_string_pretty(&value).ok()?, cost::GUESS)
            }
        };
        Some(Fit::of(text.into(), cost))
    }

    fn array(&self, node: &Node, fields: &Map<String, Value>, depth: usize) -> Option<Fit> {
        let any = Value::Bool(true);
        let rest = fields.get("items").unwrap_or(&any);
        let first = fields.get("prefixItems").and_then(Value::as_array);
        let first = first.map(Vec::as_slice).unwrap_or_default();
        let Kind::Array(items) = &node.kind else {
            if let Some(inner) = self.quoted(node, '[') {
                return Some(self.array(&inner, fields, depth + 1)?.dearer(cost::WRAPPED));
            }
            // One thing for a list of one; nothing is not a thing.
            scalars::null(&node.kind).is_none().then_some(())?;
            let schema = first.first().unwrap_or(rest);
            let fit = self.fit(node, schema, depth + 1)?;
            return Some(Fit {
                value: Value::Array(vec![fit.value]),
                cost: fit.cost + cost::KIND,
                fallback: fit.fallback,
                progress: Progress {
                    done: fit.progress.done,
                    below: vec![("0".to_owned(), fit.progress)],
                },
            });
        };
        let mut all = Fit::of(Value::Null, 0);
        all.progress.done = node.complete;
        let mut values = Vec::new();
        for item in items {
            // A model that is tired of lists.
            if matches!(&item.kind, Kind::Bare(text) if text.trim_matches('.').is_empty()) {
                all.cost += cost::GUESS;
                continue;
            }
            let schema = first.get(values.len()).unwrap_or(rest);
            match self.fit(item, schema, depth + 1) {
                Some(fit) => {
                    let name = values.len().to_string();
                    values.push(all.take(fit, name));
                }
                // What follows would take this one's place.
                None if self.partial => {
                    all.progress.done = false;
                    break;
                }
                None => return None,
            }
        }
        all.value = Value::Array(values);
        Some(all)
    }

    fn object(&self, node: &Node, fields: &Map<String, Value>, depth: usize) -> Option<Fit> {
        let members = match &node.kind {
            Kind::Object(members) => members,
            // A list where one thing was asked for: the first.
            Kind::Array(items) => {
                let fit = self.object(items.first()?, fields, depth + 1)?;
                let more = u32::try_from(items.len()).unwrap_or(u32::MAX);
                return Some(fit.dearer(more.saturating_mul(cost::KIND)));
            }
            Kind::Text(_) => {
                let inner = self.quoted(node, '{')?;
                return Some(
                    self.object(&inner, fields, depth + 1)?
                        .dearer(cost::WRAPPED),
                );
            }
            Kind::Bare(_) => return None,
        };
        let plain = self.members(node, members, fields, depth);
        if plain.is_some() || self.partial {
            return plain;
        }
        // The whole answer in one member that nobody asked for.
        let [(_, inner)] = members.as_slice() else {
            return None;
        };
        matches!(inner.kind, Kind::Object(_)).then_some(())?;
        let fit = self.object(inner, fields, depth + 1)?;
        Some(fit.dearer(cost::WRAPPED))
    }

    fn members(
        &self,
        node: &Node,
        members: &[(String, Node)],
        fields: &Map<String, Value>,
        depth: usize,
    ) -> Option<Fit> {
        let empty = Map::new();
        let known = fields.get("properties").and_then(Value::as_object);
        let known = known.unwrap_or(&empty);
        let names = Names::new(known, members);
        let required = fields.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
        let mut all = Fit::of(Value::Null, 0);
        all.progress.done = node.complete;
        let mut values = Map::new();
        for (written, member) in members {
            let (name, schema) = match (names.of(written), fields.get("additionalProperties")) {
                (Some(name), _) => (name, known.get(name)?),
                (None, Some(Value::Bool(false))) => {
                    all.cost += cost::DROPPED;
                    continue;
                }
                (None, more) => (written.as_str(), more.unwrap_or(&Value::Bool(true))),
            };
            if name != written {
                all.cost += cost::SPELLING;
            }
            let fit = self.fit(member, schema, depth + 1);
            match fit {
                Some(fit) => {
                    let value = all.take(fit, name.to_owned());
                    values.insert(name.to_owned(), value);
                }
                // What need not be there may be null: strict schemas ask so.
                None if scalars::null(&member.kind).is_some() && !is_required(name) => {}
                None if self.partial => all.progress.done = false,
                None => return None,
            }
        }
        if !self.partial {
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                if !values.contains_key(name) {
                    let value = known.get(name)?.get("default")?.clone();
                    values.insert(name.to_owned(), value);
                    all.fallback = true;
                    all.cost += cost::DEFAULT;
                }
            }
        }
        all.value = Value::Object(values);
        Some(all)
    }

    /// JSON within a text: some models put quotes around everything.
    fn quoted(&self, node: &Node, begins: char) -> Option<Node> {
        let Kind::Text(text) = &node.kind else {
            return None;
        };
        if self.partial && !node.complete || !text.trim_start().starts_with(begins) {
            return None;
        }
        let start = text.len() - text.trim_start().len();
        let (inner, end) = parse_at(text, start);
        let inner = inner.ok()?;
        let rest = text.get(end..).unwrap_or_default();
        (inner.complete && rest.trim().is_empty()).then_some(inner)
    }

    /// Without a schema: what was written.
    fn anything(&self, node: &Node) -> Option<Fit> {
        let mut all = Fit::of(Value::Null, 0);
        all.progress.done = node.complete;
        all.value = match &node.kind {
            Kind::Text(text) => text.as_str().into(),
            Kind::Bare(_) if self.partial && !node.complete => return None,
            Kind::Bare(text) => match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                "null" => Value::Null,
                text => match scalars::exact(text) {
                    Some(number) => Value::Number(number),
                    None => text.into(),
                },
            },
            Kind::Array(items) => {
                let mut values = Vec::new();
                for item in items {
                    if let Some(fit) = self.anything(item) {
                        let name = values.len().to_string();
                        values.push(all.take(fit, name));
                    }
                }
                Value::Array(values)
            }
            Kind::Object(members) => {
                let mut values = Map::new();
                for (name, member) in members {
                    if let Some(fit) = self.anything(member) {
                        let value = all.take(fit, name.clone());
                        values.insert(name.clone(), value);
                    }
                }
                Value::Object(values)
            }
        };
        Some(all)
    }
}

impl Fit {
    /// Takes a part in: its value is returned to be put where it belongs.
    fn take(&mut self, part: Fit, name: String) -> Value {
        self.cost = self.cost.saturating_add(part.cost);
        self.fallback |= part.fallback;
        if !self.progress.done {
            self.progress.below.push((name, part.progress));
        }
        part.value
    }
}

/// The members of a schema by what models make of their names.
struct Names<'s> {
    exact: &'s Map<String, Value>,
    loose: HashMap<String, Option<&'s str>>,
    written: Vec<&'s str>,
}

impl<'s> Names<'s> {
    fn new(exact: &'s Map<String, Value>, members: &'s [(String, Node)]) -> Self {
        let mut loose = HashMap::new();
        for name in exact.keys() {
            // Two that differ only in spelling are not guessed between.
            let seen = loose.entry(scalars::plain(name));
            seen.and_modify(|it| *it = None)
                .or_insert(Some(name.as_str()));
        }
        let written = members.iter().map(|(name, _)| name.as_str());
        let written = written.filter(|name| exact.contains_key(*name)).collect();
        Self {
            exact,
            loose,
            written,
        }
    }

    fn of(&self, written: &str) -> Option<&'s str> {
        if let Some((name, _)) = self.exact.get_key_value(written) {
            return Some(name);
        }
        let name = (*self.loose.get(&scalars::plain(written))?)?;
        // The right name elsewhere counts more than a wrong one here.
        (!self.written.contains(&name)).then_some(name)
    }
}
