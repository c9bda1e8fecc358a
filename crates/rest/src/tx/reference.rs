//! References to earlier answers, filled in.
//!
//! In a body, `{"$ref": "order.0.id"}` stands for a column's value, an
//! argument, an element or the whole body; deeper down it is data like any
//! other. In a query, `{$ref:order.0.id}` stands for the whole value of a
//! filter, an element of `in.(…)` or an argument. There it never becomes part
//! of the query's text: the query is parsed with a mark in its place, and the
//! value replaces the mark in the parsed query, from where it goes to the
//! database as a parameter. Start at [`fill`].

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use super::answers::{Answers, Members};
use super::request::Request;
use crate::call::ast::{LogicTree, OpExpr, Operation, Query};
use crate::error::{RestError, TxFault};

const OPEN: &str = "{$ref:";
const MEMBER: &str = "$ref";

/// A request with nothing left to look up.
pub(super) struct Filled {
    /// Path and query, with marks where values belong.
    pub(super) address: String,
    pub(super) body: Bytes,
    mark: String,
    values: Vec<Value>,
}

/// What stands for a reference in a query.
struct Value {
    reference: String,
    json: String,
    used: bool,
}

/// Fills a request's references in. `max` bounds what it grows to.
pub(super) fn fill(
    request: &Request<'_>,
    answers: &mut Answers,
    max: usize,
) -> Result<Filled, RestError> {
    let body = match request.body {
        None => Bytes::new(),
        Some(text) if !request.has_json() => raw_text(text)?,
        Some(text) if request.refs && text.contains(MEMBER) => {
            let mut splice = Splice {
                answers,
                out: String::with_capacity(text.len()),
                max,
            };
            splice.body(text)?;
            splice.out.into()
        }
        Some(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    let mut filled = Filled {
        address: String::with_capacity(request.path.len()),
        body,
        mark: "ref".to_owned(),
        values: Vec::new(),
    };
    filled.query(request, answers, max)?;
    Ok(filled)
}

/// A body that is no JSON is written as a JSON string.
fn raw_text(text: &str) -> Result<Bytes, RestError> {
    let text: String = serde_json::from_str(text).map_err(|_| {
        let reason = "The body of another type than JSON is written as a string";
        RestError::Tx(TxFault::Malformed(reason.to_owned()))
    })?;
    Ok(text.into())
}

struct Splice<'a> {
    answers: &'a mut Answers,
    out: String,
    max: usize,
}

impl Splice<'_> {
    fn body(&mut self, text: &str) -> Result<(), RestError> {
        if !text.starts_with('[') {
            return self.row(text);
        }
        let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(unreadable)?;
        self.out.push('[');
        for (count, element) in elements.into_iter().enumerate() {
            if count > 0 {
                self.out.push(',');
            }
            self.row(element.get())?;
        }
        self.out.push(']');
        Ok(())
    }

    /// A row, the arguments of a function, or a reference to either.
    fn row(&mut self, text: &str) -> Result<(), RestError> {
        if !text.starts_with('{') || reference(text).is_some() {
            return self.value(text);
        }
        let members: Members<'_> = serde_json::from_str(text).map_err(unreadable)?;
        self.out.push('{');
        for (count, (name, value)) in members.0.into_iter().enumerate() {
            if count > 0 {
                self.out.push(',');
            }
            let name = serde_json::to_string(&name).map_err(unreadable)?;
            self.out.push_str(&name);
            self.out.push(':');
            self.value(value.get())?;
        }
        self.out.push('}');
        Ok(())
    }

    fn value(&mut self, text: &str) -> Result<(), RestError> {
        match reference(text) {
            Some(reference) => self.out.push_str(&self.answers.find(&reference)?),
            None => self.out.push_str(text),
        }
        if self.out.len() > self.max {
            let max = self.max;
            return Err(RestError::Tx(TxFault::BodyTooLarge { max }));
        }
        Ok(())
    }
}

/// The one member of `{"$ref": "…"}`.
fn reference(text: &str) -> Option<String> {
    if !text.starts_with('{') || !text.contains(MEMBER) {
        return None;
    }
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    match members.0.as_slice() {
        [(name, value)] if name == MEMBER => serde_json::from_str(value.get()).ok(),
        _ => None,
    }
}

fn unreadable(_: serde_json::Error) -> RestError {
    RestError::InvalidBody("Empty or invalid json".to_owned())
}

impl Filled {
    /// Copies path and query, with a mark for each reference.
    fn query(
        &mut self,
        request: &Request<'_>,
        answers: &mut Answers,
        max: usize,
    ) -> Result<(), RestError> {
        // The mark must be nobody's own text.
        while request.path.contains(&self.mark) {
            self.mark.push('x');
        }
        let mut rest: &str = &request.path;
        if let Some(start) = rest.find('?').filter(|_| request.refs) {
            let (path, query) = rest.split_at(start);
            encode(&mut self.address, path);
            rest = query;
            let mut bytes = 0;
            while let Some((before, reference, after)) = next(rest) {
                encode(&mut self.address, before);
                let json = answers.find(reference)?;
                bytes += json.len();
                if bytes > max {
                    return Err(RestError::Tx(TxFault::BodyTooLarge { max }));
                }
                self.address.push_str(&self.marked(self.values.len()));
                self.values.push(Value {
                    reference: reference.to_owned(),
                    json,
                    used: false,
                });
                rest = after;
            }
        }
        encode(&mut self.address, rest);
        Ok(())
    }

    /// Ends in a letter, so that no mark is the beginning of another.
    fn marked(&self, number: usize) -> String {
        format!("{}{number}z", self.mark)
    }

    /// Puts the values where their marks are in the parsed query.
    pub(super) fn into_query(mut self, query: &mut Query) -> Result<(), RestError> {
        if self.values.is_empty() {
            return Ok(());
        }
        for (_, filter) in &mut query.filters {
            self.expression(&mut filter.expr)?;
        }
        for (_, tree) in &mut query.logic {
            self.tree(tree)?;
        }
        for (_, value) in &mut query.params {
            self.text(value)?;
        }
        for number in 0..self.values.len() {
            let mark = self.marked(number);
            let Some(value) = self.values.get(number) else {
                continue;
            };
            if !value.used {
                let reason = "it must be the whole value of a filter, a whole element of \
                              'in', or a whole argument";
                return Err(value.fault(reason));
            }
            // `Content-Location` shows it as it was written, which no mark can
            // be part of.
            let written = format!("{OPEN}{}}}", value.reference);
            let written = utf8_percent_encode(&written, NON_ALPHANUMERIC).to_string();
            query.canonical = query.canonical.replace(&mark, &written);
        }
        Ok(())
    }

    fn tree(&mut self, tree: &mut LogicTree) -> Result<(), RestError> {
        match tree {
            // As deep as the parser lets trees be.
            LogicTree::Group { branches, .. } => {
                branches.iter_mut().try_for_each(|branch| self.tree(branch))
            }
            LogicTree::Filter(filter) => self.expression(&mut filter.expr),
        }
    }

    fn expression(&mut self, expr: &mut OpExpr) -> Result<(), RestError> {
        match &mut expr.operation {
            Operation::Simple(_, value)
            | Operation::Quantified(_, None, value)
            | Operation::IsDistinctFrom(value)
            | Operation::Fts(_, _, value) => self.text(value),
            Operation::In(values) => self.list(values),
            // Text in the form of an array, in which a value would need quotes.
            Operation::Quantified(_, Some(_), _) | Operation::Is(_) => Ok(()),
        }
    }

    fn text(&mut self, text: &mut String) -> Result<(), RestError> {
        if let Some(value) = self.value_of(text) {
            *text = value.scalar(&value.json)?;
        }
        Ok(())
    }

    /// An array stands for its elements.
    fn list(&mut self, texts: &mut Vec<String>) -> Result<(), RestError> {
        let mut all = Vec::with_capacity(texts.len());
        for text in texts.drain(..) {
            let Some(value) = self.value_of(&text) else {
                all.push(text);
                continue;
            };
            if value.json.starts_with('[') {
                let elements: Vec<&RawValue> =
                    serde_json::from_str(&value.json).map_err(unreadable)?;
                for element in elements {
                    all.push(value.scalar(element.get())?);
                }
            } else {
                all.push(value.scalar(&value.json)?);
            }
        }
        *texts = all;
        Ok(())
    }

    fn value_of(&mut self, text: &str) -> Option<&Value> {
        let number = text.strip_prefix(self.mark.as_str())?.strip_suffix('z')?;
        let value = self.values.get_mut(number.parse::<usize>().ok()?)?;
        value.used = true;
        Some(value)
    }
}

impl Value {
    /// The text of a value in a comparison. Objects and arrays are JSON.
    fn scalar(&self, json: &str) -> Result<String, RestError> {
        let text: Cow<'_, str> = match json.as_bytes().first() {
            Some(b'"') => Cow::Owned(serde_json::from_str(json).map_err(unreadable)?),
            // To compare with null is never true, which nobody means.
            Some(b'n') => return Err(self.fault("it is null, which equals nothing")),
            _ => Cow::Borrowed(json),
        };
        if text.contains('\0') {
            return Err(RestError::InvalidEncoding);
        }
        Ok(text.into_owned())
    }

    fn fault(&self, reason: &str) -> RestError {
        RestError::Tx(TxFault::Reference {
            reference: self.reference.clone(),
            reason: reason.to_owned(),
        })
    }
}

/// What stands before the next reference, the reference, and the rest.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, from) = text.split_once(OPEN)?;
    let (reference, after) = from.split_once('}')?;
    Some((before, reference, after))
}

/// Copies text of an address; what could not stand there is encoded, as a
/// client would have done before it sent it. What is encoded stays so.
fn encode(out: &mut String, text: &str) {
    const STRANGE: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    out.extend(utf8_percent_encode(text, STRANGE));
}
