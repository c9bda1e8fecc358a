//! Whether an answer satisfies its form, a JSON Schema.
//!
//! The whole of JSON Schema (draft 2020-12 unless the form names another) is
//! checked here, before the answer goes to the database, which checks the part
//! that nobody may go around (migration `work_answers`). A form is written by a
//! job's handler, so it is trusted with nothing: references lead nowhere but
//! into the form itself, and patterns are matched in linear time.

use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

/// Where the form lies for its own references; nothing is fetched from there.
const HOME: &str = "form:///form.json";

/// What people can read of an answer that is wrong in many places.
const PROBLEMS_MAX: usize = 10;

/// Why an answer is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormError {
    /// The form is no JSON Schema, which is the fault of who asked.
    #[error("the form is no usable JSON Schema: {0}")]
    Form(String),
    /// The answer does not satisfy it. At most ten problems, the place first.
    #[error("the answer does not satisfy the form: {}", .0.join("; "))]
    Answer(Vec<String>),
}

/// Checks an answer against a form.
pub fn check(form: &Value, answer: &Value) -> Result<(), FormError> {
    let mut schemas = Schemas::new();
    let schema = compile(form, &mut schemas)?;
    schemas.validate(answer, schema).map_err(|error| {
        let mut problems = Vec::new();
        collect(&error, &mut problems);
        FormError::Answer(problems)
    })
}

/// Checks that a form can be used at all: for whoever asks.
pub fn usable(form: &Value) -> Result<(), FormError> {
    compile(form, &mut Schemas::new()).map(|_| ())
}

fn compile(form: &Value, schemas: &mut Schemas) -> Result<SchemaIndex, FormError> {
    let unusable = |error: boon::CompileError| FormError::Form(error.to_string());
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.use_loader(Box::new(Nowhere));
    compiler
        .add_resource(HOME, form.clone())
        .map_err(unusable)?;
    compiler.compile(HOME, schemas).map_err(unusable)
}

/// Loads nothing: the library's own loader would read files of this machine.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("a form refers to nothing outside itself".into())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_held_to_every_keyword() {
        let form = json!({
            "type": "object",
            "required": ["choice"],
            "properties": {
                "choice": {"enum": ["a", "b"]},
                "count": {"type": "integer", "minimum": 1},
                "mail": {"type": "string", "format": "email"},
                "code": {"$ref": "#/$defs/code"}
            },
            "$defs": {"code": {"pattern": "^[A-Z]{3}$"}},
            "additionalProperties": false
        });
        assert_eq!(check(&form, &json!({"choice": "a", "count": 2})), Ok(()));
        for wrong in [
            json!({}),
            json!({"choice": "c"}),
            json!({"choice": "a", "count": 0}),
            json!({"choice": "a", "mail": "nobody"}),
            json!({"choice": "a", "code": "abc"}),
            json!({"choice": "a", "more": 1}),
            json!("a"),
        ] {
            let refused = check(&form, &wrong);
            assert!(matches!(refused, Err(FormError::Answer(_))), "{wrong}");
        }
    }

    #[test]
    fn problems_say_where_they_are() {
        let form = json!({"properties": {"shots": {"items": {"type": "string"}}}});
        let refused = check(&form, &json!({"shots": ["one", 2]}));
        let Err(FormError::Answer(problems)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(problems, ["/shots/1: want string, but got number"]);
    }

    #[test]
    fn a_form_reads_no_files_and_fetches_nothing() {
        for reference in ["file:///etc/hostname", "http://127.0.0.1:1/form.json"] {
            let refused = check(&json!({"$ref": reference}), &json!(1));
            assert!(matches!(refused, Err(FormError::Form(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_form_that_is_none_is_the_fault_of_who_asked() {
        let refused = usable(&json!({"type": "nothing"}));
        assert!(matches!(refused, Err(FormError::Form(_))), "{refused:?}");
        assert_eq!(usable(&json!({"type": "object"})), Ok(()));
    }

    #[test]
    fn problems_are_few_however_wrong_the_answer_is() {
        let form = json!({"items": {"type": "string"}});
        let Err(FormError::Answer(problems)) = check(&form, &json!(vec![1; 1000])) else {
            panic!("a thousand numbers are no strings");
        };
        assert_eq!(problems.len(), PROBLEMS_MAX);
    }
}
