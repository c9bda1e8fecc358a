//! Walks the tree with the data in hand.

use serde_json::Value;

use super::functions::{is_true, shown};
use super::html::Document;
use super::parse::{Command, Node, Operand, Pipeline};
use super::{Format, OUTPUT_BYTES_MAX};

/// Nodes that may be visited: a loop over a large list must end.
const STEPS_MAX: usize = 100_000;

pub(super) fn render(nodes: &[Node], format: Format, data: &Value) -> Result<String, String> {
    let mut run = Run {
        data,
        variables: Vec::new(),
        steps: 0,
        out: match format {
            Format::Text => Out::Text(String::new()),
            Format::Html => Out::Html(Document::default()),
        },
    };
    run.block(nodes, data)?;
    Ok(match run.out {
        Out::Text(text) => text,
        Out::Html(document) => document.finish(),
    })
}

enum Out {
    Text(String),
    Html(Document),
}

impl Out {
    fn literal(&mut self, text: &str) {
        match self {
            Self::Text(out) => out.push_str(text),
            Self::Html(document) => document.literal(text),
        }
    }

    fn value(&mut self, text: &str) {
        match self {
            Self::Text(out) => out.push_str(text),
            Self::Html(document) => document.value(text),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(out) => out.len(),
            Self::Html(document) => document.len(),
        }
    }
}

struct Run<'d> {
    data: &'d Value,
    variables: Vec<(String, Value)>,
    steps: usize,
    out: Out,
}

impl Run<'_> {
    fn block(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        let known = self.variables.len();
        for node in nodes {
            self.steps += 1;
            if self.steps > STEPS_MAX || self.out.len() > OUTPUT_BYTES_MAX {
                return Err("the mail becomes too long".to_owned());
            }
            self.node(node, dot)?;
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), String> {
        match node {
            Node::Text(text) => self.out.literal(text),
            Node::Show(pipeline, _) => {
                let value = self.pipeline(pipeline, dot)?;
                self.out.value(&shown(&value));
            }
            Node::Set(name, pipeline, new) => {
                let value = self.pipeline(pipeline, dot)?;
                let old = self.variables.iter_mut().rev().find(|(n, _)| n == name);
                match old {
                    Some((_, old)) if !new => *old = value,
                    _ => self.variables.push((name.clone(), value)),
                }
            }
            Node::If {
                condition,
                then,
                otherwise,
                ..
            } => {
                let truth = is_true(&self.pipeline(condition, dot)?);
                self.block(if truth { then } else { otherwise }, dot)?;
            }
            Node::With {
                value,
                name,
                then,
                otherwise,
                ..
            } => {
                let value = self.pipeline(value, dot)?;
                if !is_true(&value) {
                    return self.block(otherwise, dot);
                }
                let known = self.variables.len();
                let named = name.iter().map(|name| (name.clone(), value.clone()));
                self.variables.extend(named);
                self.block(then, &value)?;
                self.variables.truncate(known);
            }
            Node::Range {
                items,
                index,
                item,
                body,
                otherwise,
                ..
            } => {
                let items = self.pipeline(items, dot)?;
                let pairs = pairs(&items)?;
                if pairs.is_empty() {
                    return self.block(otherwise, dot);
                }
                for (key, value) in pairs {
                    let known = self.variables.len();
                    let names = index.iter().map(|name| (name.clone(), key.clone()));
                    self.variables.extend(names);
                    let names = item.iter().map(|name| (name.clone(), value.clone()));
                    self.variables.extend(names);
                    self.block(body, value)?;
                    self.variables.truncate(known);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut before = None;
        for command in &pipeline.0 {
            let value = match command {
                Command::Value(operand) => self.operand(operand, dot)?,
                Command::Call(function, operands) => {
                    let mut arguments = Vec::with_capacity(operands.len() + 1);
                    for operand in operands {
                        arguments.push(self.operand(operand, dot)?);
                    }
                    arguments.extend(before);
                    function.call(arguments)?
                }
            };
            before = Some(value);
        }
        Ok(before.unwrap_or_default())
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        Ok(match operand {
            Operand::Constant(value) => value.clone(),
            Operand::Nested(pipeline) => self.pipeline(pipeline, dot)?,
            Operand::Field(names) => at(dot, names),
            Operand::Variable(name, names) if name.is_empty() => at(self.data, names),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                found.map_or(Value::Null, |(_, value)| at(value, names))
            }
        })
    }
}

fn at(value: &Value, names: &[String]) -> Value {
    let found = names.iter().try_fold(value, |value, name| value.get(name));
    found.cloned().unwrap_or_default()
}

/// What `range` walks over, with index or key.
fn pairs(items: &Value) -> Result<Vec<(Value, &Value)>, String> {
    match items {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok((0_usize..).map(Value::from).zip(items).collect()),
        Value::Object(items) => {
            // Go walks maps by their sorted keys.
            let mut items: Vec<_> = items.iter().collect();
            items.sort_by_key(|(key, _)| *key);
            Ok(items
                .into_iter()
                .map(|(key, value)| (Value::from(key.as_str()), value))
                .collect())
        }
        _ => Err("range over something that has no elements".to_owned()),
    }
}
