//! Mail templates: the part of Go's `html/template` that Supabase documents.
//!
//! `{{ .Name }}`, `{{ .Data.x }}`, `if`/`else if`/`else`/`end`, `with`,
//! `range`, variables, pipelines, comments, `{{-` trimming, and the functions
//! `eq ne lt le gt ge and or not len index print printf html urlquery`.
//! What is put into HTML is escaped by where it stands: text, attribute,
//! address (`javascript:` is refused), and nothing may stand inside scripts.
//!
//! Start with [`Template::parse`], which finds every mistake that can be found
//! without data and says where; `parse` makes the tree, `eval` walks it,
//! `html` knows where in a document we are.

mod eval;
mod functions;
mod html;
mod lex;
mod parse;

use serde_json::Value;

use parse::Node;

/// The longest template. Mail programs cut mails at 100 KB.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;

/// The longest mail that comes out of one.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// What is written around values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Nothing: a subject.
    Text,
    /// A document: values are escaped.
    Html,
}

/// A template that can be filled in.
#[derive(Clone, Debug)]
pub struct Template {
    format: Format,
    nodes: Vec<Node>,
    fields: Vec<String>,
}

/// A mistake in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {message}")]
pub struct TemplateError {
    /// The file, or what else the text is called.
    pub name: String,
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A mistake without the file's name, which only [`Template::parse`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    line: usize,
    message: String,
}

impl Mistake {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

impl Template {
    /// Reads a template. `name` is for messages.
    pub fn parse(name: &str, text: &str, format: Format) -> Result<Self, TemplateError> {
        let error = |mistake: Mistake| TemplateError {
            name: name.to_owned(),
            line: mistake.line,
            message: mistake.message,
        };
        if text.len() > TEMPLATE_BYTES_MAX {
            let message = format!("longer than {TEMPLATE_BYTES_MAX} bytes");
            return Err(error(Mistake::new(1, message)));
        }
        let tokens = lex::lex(text).map_err(error)?;
        let parsed = parse::parse(tokens).map_err(error)?;
        if format == Format::Html {
            html::check(&parsed.nodes).map_err(error)?;
        }
        Ok(Self {
            format,
            nodes: parsed.nodes,
            fields: parsed.fields,
        })
    }

    /// The fields of the data that it names, such as `ConfirmationURL`.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Fills it in. What the data does not have is empty, as in Go. The error
    /// is for the operator.
    pub fn render(&self, data: &Value) -> Result<String, String> {
        eval::render(&self.nodes, self.format, data)
    }
}

#[cfg(test)]
mod tests;
