//! An answer against its schema: [`Shape::judge`] at the end, [`Follower`]
//! while it comes.

use std::sync::Arc;

use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::chat::OutputSchema;
use crate::error::{ModelError, ModelErrorKind};
use crate::structured::coerce::{Coercer, Fit, Progress};
use crate::structured::lenient::{Kind, Node, parse_at};
use crate::structured::{Partial, cost};

/// The longest answer that is read: some hundred files.
const TEXT_MAX: usize = 8 << 20;

/// The longest schema.
const SCHEMA_MAX: usize = 256 << 10;

/// Places in an answer where the value may begin. Prose and thoughts hold some
/// brackets; hundreds of them are an attack.
const CANDIDATES_MAX: usize = 32;

/// Brackets that are tried: thousands of them without a value are no answer.
const ATTEMPTS_MAX: usize = 2048;

/// Bytes that are read for all candidates of one answer together.
const WORK_MAX: usize = 8 * TEXT_MAX;

/// Problems that are told; a model repairs the first few anyway.
const PROBLEMS_MAX: usize = 10;

/// A partial is made when the text has grown by a part of itself, so that a long
/// answer is not read again for each word: at most this many times in all for
/// each doubling.
const READS_PER_DOUBLING: usize = 256;

/// What a bracket that was never closed costs: any closed reading is better.
const UNCLOSED: u32 = 1000;

/// Where the schema lies for its own references; nothing is fetched from there.
const HOME: &str = "schema:///schema.json";

/// A schema that answers are held to.
#[derive(Debug)]
pub struct Shape {
    schema: Value,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It satisfies the schema.
    Valid {
        /// The value, every part as the schema means it.
        value: Value,
        /// A default of the schema stands for something that was missing.
        fallback: bool,
    },
    /// It does not.
    Invalid {
        /// Why, the place first; enough for a model to repair it.
        problems: Vec<String>,
    },
}

impl Shape {
    /// Checks that this is a usable JSON Schema.
    pub fn compile(wanted: &OutputSchema) -> Result<Arc<Self>, ModelError> {
        let schema = wanted.schema.clone();
        let bad = |text: String| ModelError::new(ModelErrorKind::BadRequest, text);
        if schema.to_string().len() > SCHEMA_MAX {
            return Err(bad(format!("the schema is longer than {SCHEMA_MAX} bytes")));
        }
        let unusable = |error| bad(format!("the schema is no usable JSON Schema: {error}"));
        cost::bounded(&schema).map_err(unusable)?;
        compiled(&schema, &mut Schemas::new()).map_err(unusable)?;
        Ok(Arc::new(Self { schema }))
    }

    /// Finds the value in an answer and checks it. `cut` says that the answer
    /// was ended from outside: then what was not closed is not whole.
    #[must_use]
    pub fn judge(&self, text: &str, cut: bool) -> Verdict {
        if text.len() > TEXT_MAX {
            let problems = vec![format!("the answer is longer than {TEXT_MAX} bytes")];
            return Verdict::Invalid { problems };
        }
        let coercer = Coercer::new(&self.schema, false);
        let nodes = self.candidates(text);
        let fits = nodes.iter().filter_map(|node| {
            let unclosed = unclosed(node, cut)?;
            let mut fit = coercer.root(node)?;
            fit.cost = fit.cost.saturating_add(unclosed);
            Some(fit)
        });
        let mut fits: Vec<Fit> = fits.collect();
        // The first of equals, as while it came.
        fits.sort_by_key(|fit| fit.cost);
        let mut problems = None;
        for fit in fits {
            match self.check(&fit.value) {
                Ok(()) => {
                    let (value, fallback) = (fit.value, fit.fallback);
                    return Verdict::Valid { value, fallback };
                }
                Err(found) => problems = problems.or(Some(found)),
            }
        }
        let problems = problems.unwrap_or_else(|| self.misfit(&nodes, cut));
        Verdict::Invalid { problems }
    }

    /// Why nothing in the answer fits at all.
    fn misfit(&self, nodes: &[Node], cut: bool) -> Vec<String> {
        let found = nodes
            .iter()
            .find(|node| !matches!(node.kind, Kind::Bare(_)));
        let Some(node) = found else {
            return vec!["/: there is no JSON value in the answer".to_owned()];
        };
        if unclosed(node, cut).is_none() {
            return vec!["/: the JSON value stops in the middle".to_owned()];
        }
        let any = Value::Bool(true);
        let value = Coercer::new(&any, false).root(node).map(|fit| fit.value);
        let problems = self.check(&value.unwrap_or_default()).err();
        problems.unwrap_or_else(|| vec!["/: the value cannot be read by the schema".to_owned()])
    }

    fn check(&self, value: &Value) -> Result<(), Vec<String>> {
        cost::affordable(&self.schema, value)
            .map_err(|error| vec![format!("/: cannot be checked: {error}")])?;
        let mut schemas = Schemas::new();
        let index = compiled(&self.schema, &mut schemas).map_err(|error| vec![error])?;
        schemas.validate(value, index).map_err(|error| {
            let mut problems = Vec::new();
            collect(&error, &mut problems);
            problems
        })
    }

    /// The values that an answer may mean, as they stand in it.
    fn candidates(&self, text: &str) -> Vec<Node> {
        let trimmed = text.trim();
        if serde_json::from_str::<IgnoredAny>(trimmed).is_ok()
            && let (Ok(mut node), _) = parse_at(trimmed, 0)
        {
            node.complete = true;
            return vec![node];
        }
        let coercer = Coercer::new(&self.schema, true);
        let mut all = Vec::new();
        let mut from = 0;
        let mut work = WORK_MAX;
        for _ in 0..ATTEMPTS_MAX {
            let Some(start) = next_bracket(text, from) else {
                break;
            };
            if all.len() >= CANDIDATES_MAX {
                break;
            }
            let (node, end) = parse_at(text, start);
            let Some(left) = work.checked_sub(end - start) else {
                break;
            };
            work = left;
            from = start + 1;
            let Ok(node) = node else { continue };
            if node.complete {
                from = end;
            }
            // What stands within the answer itself is not the answer, even if
            // its own end is missing.
            let begun = !node.complete
                && coercer
                    .root(&node)
                    .is_some_and(|it| self.is_about(&it.value));
            all.push(node);
            if begun {
                break;
            }
        }
        // A single word or number for a schema of such.
        let bare = trimmed.trim_matches('`').trim();
        all.push(Node {
            kind: Kind::Bare(bare.to_owned()),
            complete: true,
        });
        all
    }

    /// Whether a value has anything that the schema knows.
    fn is_about(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => {
                let known = self.schema.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| known.is_none_or(|known| known.contains_key(name));
                members.keys().any(is_known)
            }
            Value::Array(items) => !items.is_empty(),
            _ => false,
        }
    }
}

fn compiled(schema: &Value, schemas: &mut Schemas) -> Result<SchemaIndex, String> {
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.use_loader(Box::new(Nowhere));
    let added = compiler.add_resource(HOME, schema.clone());
    added.map_err(|error| error.to_string())?;
    let index = compiler.compile(HOME, schemas);
    index.map_err(|error| error.to_string())
}

/// Loads nothing: the library's own loader would read files of this machine.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("a schema refers to nothing outside itself".into())
    }
}

/// The problems at the leaves: what stands above only says that there are some.
fn collect(error: &ValidationError<'_, '_>, problems: &mut Vec<String>) {
    if problems.len() >= PROBLEMS_MAX {
        return;
    }
    if error.causes.is_empty() {
        let place = error.instance_location.to_string();
        let place = if place.is_empty() { "/" } else { &place };
        problems.push(format!("{place}: {}", error.kind));
    }
    for cause in &error.causes {
        collect(cause, problems);
    }
}

fn next_bracket(text: &str, from: usize) -> Option<usize> {
    let found = text.get(from..)?.find(['{', '['])?;
    Some(from + found)
}

/// What the missing ends of a value cost; nothing is worth a value of which a
/// part is missing.
fn unclosed(node: &Node, cut: bool) -> Option<u32> {
    if node.complete {
        return Some(0);
    }
    if cut {
        return None;
    }
    let below: &mut dyn Iterator<Item = &Node> = match &node.kind {
        Kind::Text(_) => return None,
        Kind::Bare(_) => return Some(UNCLOSED),
        Kind::Array(items) => &mut items.iter(),
        Kind::Object(members) => &mut members.iter().map(|(_, node)| node),
    };
    let mut sum = UNCLOSED;
    for node in below {
        sum = sum.saturating_add(unclosed(node, cut)?);
    }
    Some(sum)
}

/// Reads an answer while it comes.
#[derive(Debug)]
pub struct Follower {
    shape: Arc<Shape>,
    text: String,
    /// Where the value begins, once that is certain enough.
    start: Option<usize>,
    /// Up to here there is none.
    searched: usize,
    /// The length at which the text is read again.
    next: usize,
    last: Option<Partial>,
}

impl Follower {
    /// At the beginning of an answer.
    #[must_use]
    pub fn new(shape: Arc<Shape>) -> Self {
        Self {
            shape,
            text: String::new(),
            start: None,
            searched: 0,
            next: 0,
            last: None,
        }
    }

    /// The answer's text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes more of the answer; tells what there is of the value now, if that
    /// is more than before.
    pub fn push(&mut self, text: &str) -> Option<Partial> {
        self.text.push_str(text);
        let length = self.text.len();
        if length < self.next || length > TEXT_MAX {
            return None;
        }
        self.next = length + length / READS_PER_DOUBLING + 1;
        let partial = self.read()?;
        if self.last.as_ref() == Some(&partial) {
            return None;
        }
        self.last = Some(partial.clone());
        Some(partial)
    }

    fn read(&mut self) -> Option<Partial> {
        if let Some(start) = self.start {
            let (node, _) = parse_at(&self.text, start);
            return self.partial(&node.ok()?);
        }
        let mut from = self.searched;
        let mut certain = true;
        for _ in 0..CANDIDATES_MAX {
            let start = next_bracket(&self.text, from)?;
            let (node, end) = parse_at(&self.text, start);
            from = start + 1;
            if let Ok(node) = node {
                let partial = self.partial(&node);
                if let Some(partial) = partial.filter(|it| self.shape.is_about(&it.value)) {
                    self.start = Some(start);
                    return Some(partial);
                }
                certain = certain && node.complete;
                if node.complete {
                    from = end;
                }
            }
            // Nothing before this is looked at again.
            if certain {
                self.searched = from;
            }
        }
        None
    }

    fn partial(&self, node: &Node) -> Option<Partial> {
        let fit = Coercer::new(&self.shape.schema, true).root(node)?;
        let mut complete = Vec::new();
        pointers(&fit.progress, String::new(), &mut complete);
        Some(Partial {
            value: fit.value,
            complete,
            done: false,
        })
    }

    /// The whole value, if the answer satisfies the schema.
    #[must_use]
    pub fn finish(&self, cut: bool) -> Option<Partial> {
        match self.shape.judge(&self.text, cut) {
            Verdict::Valid { value, .. } => Some(Partial {
                value,
                complete: vec![String::new()],
                done: true,
            }),
            Verdict::Invalid { .. } => None,
        }
    }
}

pub(super) fn pointers(progress: &Progress, at: String, complete: &mut Vec<String>) {
    if progress.done {
        complete.push(at);
        return;
    }
    for (name, below) in &progress.below {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers(below, format!("{at}/{name}"), complete);
    }
}
