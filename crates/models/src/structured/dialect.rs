//! Schemas as providers take them: each knows a part of JSON Schema, and what
//! it does not know it refuses. What is left out here is checked by us anyway.

use serde_json::{Map, Value, json};

use crate::chat::OutputSchema;
use crate::structured::cost::SCHEMA_STEPS;

/// How deep a schema may nest; deeper parts are sent as they are.
const DEPTH_MAX: usize = 64;

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const ONE: [&str; 6] = ["items", "additionalProperties", "not", "if", "then", "else"];
const MANY: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// What every provider either ignores or refuses.
const NOISE: [&str; 5] = ["$schema", "$id", "$comment", "default", "examples"];

/// What Anthropic refuses.
const BOUNDS: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "pattern",
];

/// What `OpenAI` refuses in its strict mode without a replacement.
const NOT_STRICT: [&str; 9] = [
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "propertyNames",
];

/// Anthropic: objects are closed, bounds become words.
pub(crate) fn anthropic(schema: &Value) -> Value {
    map(schema, 0, &|schema| {
        remove(schema, &NOISE);
        let mut words = Vec::new();
        for name in BOUNDS {
            if let Some(value) = schema.remove(name) {
                words.push(format!("{name}: {value}"));
            }
        }
        if !words.is_empty() {
            let text = schema.get("description").and_then(Value::as_str);
            let text = [text.unwrap_or_default(), &format!("({})", words.join(", "))].join(" ");
            schema.insert("description".into(), text.trim().into());
        }
        if let Some(branches) = schema.remove("oneOf") {
            schema.entry("anyOf").or_insert(branches);
        }
        if schema.contains_key("properties") {
            schema.insert("additionalProperties".into(), false.into());
        }
    })
}

/// Gemini takes most of it.
pub(crate) fn gemini(schema: &Value) -> Value {
    map(schema, 0, &|schema| remove(schema, &NOISE))
}

/// `OpenAI`: all members required and nothing beside them, in strict mode; a
/// schema that cannot be put so is sent as it is, without that mode.
pub(crate) fn openai(wanted: &OutputSchema) -> (Value, bool) {
    let schema = &wanted.schema;
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    let root = is_object && schema.get("anyOf").is_none();
    if !wanted.strict || !root || is_open(schema) || uses(schema, &NOT_STRICT) {
        return (schema.clone(), false);
    }
    let strict = map(schema, 0, &|schema| {
        remove(schema, &NOISE);
        remove(schema, &["minLength", "maxLength", "uniqueItems"]);
        if let Some(branches) = schema.remove("oneOf") {
            schema.entry("anyOf").or_insert(branches);
        }
        if schema.contains_key("properties") {
            all_required(schema);
        }
    });
    (strict, true)
}

/// What need not be there may be null instead.
fn all_required(schema: &mut Map<String, Value>) {
    let required = schema.get("required").and_then(Value::as_array).cloned();
    let required = required.unwrap_or_default();
    let mut names = Vec::new();
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        for (name, member) in members {
            names.push(Value::from(name.as_str()));
            if !required.iter().any(|it| it.as_str() == Some(name)) {
                *member = nullable(member.take());
            }
        }
    }
    schema.insert("required".into(), names.into());
    schema.insert("additionalProperties".into(), false.into());
}

fn nullable(mut schema: Value) -> Value {
    let plain = schema.get("enum").is_none() && schema.get("const").is_none();
    match schema.get_mut("type") {
        Some(Value::String(one)) if plain => {
            let one = std::mem::take(one);
            let kinds = json!([one, "null"]);
            schema
                .as_object_mut()
                .map(|it| it.insert("type".into(), kinds));
        }
        Some(Value::Array(all)) if plain => {
            if !all.iter().any(|it| it == "null") {
                all.push("null".into());
            }
        }
        _ => return json!({"anyOf": [schema, {"type": "null"}]}),
    }
    schema
}

/// Whether every object of it has exactly the members that it names.
pub(crate) fn is_closed(schema: &Value) -> bool {
    all(schema, 0, &|schema| {
        let Some(members) = schema.get("properties").and_then(Value::as_object) else {
            return schema.get("type").and_then(Value::as_str) != Some("object");
        };
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.map(Vec::as_slice).unwrap_or_default();
        schema.get("additionalProperties") == Some(&Value::Bool(false))
            && members
                .keys()
                .all(|name| required.iter().any(|it| it.as_str() == Some(name)))
    })
}

/// Whether an object of it may have members that it does not name: no strict
/// mode knows such.
pub(crate) fn is_open(schema: &Value) -> bool {
    !all(schema, 0, &|schema| {
        let kind = schema.get("type");
        let object = kind.is_some_and(|kind| {
            let many = kind.as_array().map(Vec::as_slice).unwrap_or_default();
            kind == "object" || many.iter().any(|kind| kind == "object")
        });
        let more = schema.get("additionalProperties");
        let named = schema.contains_key("properties");
        // No type at all means anything.
        let anything = kind.is_none()
            && [
                "enum",
                "const",
                "$ref",
                "anyOf",
                "oneOf",
                "allOf",
                "properties",
            ]
            .iter()
            .all(|name| !schema.contains_key(*name));
        let open = more.is_some_and(|more| more.is_object() || more == &Value::Bool(true));
        !(anything || open || object && !named)
    })
}

/// Whether a part of it contains itself.
pub(crate) fn is_recursive(schema: &Value) -> bool {
    let mut search = Search {
        root: schema,
        path: Vec::new(),
        left: SCHEMA_STEPS,
    };
    leads_back(schema, &mut search, 0)
}

/// A search for a way back. Its steps are counted: branches of references
/// multiply, and a schema that cannot be searched counts as one that does.
struct Search<'a> {
    root: &'a Value,
    path: Vec<&'a str>,
    left: u32,
}

fn leads_back<'a>(at: &'a Value, search: &mut Search<'a>, depth: usize) -> bool {
    if depth > DEPTH_MAX || search.left == 0 {
        return true;
    }
    search.left -= 1;
    if let Some(to) = at.get("$ref").and_then(Value::as_str) {
        if search.path.contains(&to) || to == "#" {
            return true;
        }
        let there = to.strip_prefix('#');
        let Some(there) = there.and_then(|to| search.root.pointer(to)) else {
            return false;
        };
        search.path.push(to);
        let back = leads_back(there, search, depth + 1);
        search.path.pop();
        return back;
    }
    children(at).any(|(name, child)| {
        name != "$defs" && name != "definitions" && leads_back(child, search, depth + 1)
    })
}

fn uses(schema: &Value, names: &[&str]) -> bool {
    !all(schema, 0, &|schema| {
        names.iter().all(|name| !schema.contains_key(*name))
    })
}

fn remove(schema: &mut Map<String, Value>, names: &[&str]) {
    schema.retain(|name, _| !names.contains(&name.as_str()));
}

/// The schemas right below this one, with the keyword that leads there.
fn children(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = schema.as_object().into_iter().flatten();
    fields.flat_map(|(name, value)| {
        let below: Vec<&Value> = match value {
            Value::Object(_) if ONE.contains(&name.as_str()) => vec![value],
            Value::Array(all) if MANY.contains(&name.as_str()) => all.iter().collect(),
            Value::Object(all) if NAMED.contains(&name.as_str()) => all.values().collect(),
            _ => Vec::new(),
        };
        below.into_iter().map(move |value| (name.as_str(), value))
    })
}

fn all(schema: &Value, depth: usize, holds: &impl Fn(&Map<String, Value>) -> bool) -> bool {
    let Some(fields) = schema.as_object() else {
        return true;
    };
    depth <= DEPTH_MAX
        && holds(fields)
        && children(schema).all(|(_, child)| all(child, depth + 1, holds))
}

/// The schema with a change made to each part of it. Names of members are no
/// keywords, so they stay.
fn map(schema: &Value, depth: usize, change: &impl Fn(&mut Map<String, Value>)) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    if depth > DEPTH_MAX {
        return schema.clone();
    }
    let mut fields = fields.clone();
    for (name, value) in &mut fields {
        match value {
            Value::Object(_) if ONE.contains(&name.as_str()) => {
                *value = map(value, depth + 1, change);
            }
            Value::Array(all) if MANY.contains(&name.as_str()) => {
                for one in all {
                    *one = map(one, depth + 1, change);
                }
            }
            Value::Object(all) if NAMED.contains(&name.as_str()) => {
                for one in all.values_mut() {
                    *one = map(one, depth + 1, change);
                }
            }
            _ => {}
        }
    }
    change(&mut fields);
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "$schema": "x",
            "type": "object",
            "required": ["title"],
            "properties": {
                "title": {"type": "string", "minLength": 2, "description": "a name"},
                "default": {"type": "integer", "minimum": 1},
                "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "null"}]}},
            },
        })
    }

    #[test]
    fn strict_schemas_name_all_members_and_let_them_be_null() {
        let (strict, is_strict) = openai(&OutputSchema::strict("x", schema()));
        assert!(is_strict && is_closed(&strict));
        assert_eq!(
            strict,
            json!({
                "type": "object",
                "required": ["title", "default", "kind", "tags"],
                "properties": {
                    "title": {"type": "string", "description": "a name"},
                    "default": {"type": ["integer", "null"], "minimum": 1},
                    "kind": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
                    "tags": {"type": ["array", "null"], "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                },
                "additionalProperties": false,
            })
        );
        let map = json!({"type": "object", "properties": {"m": {"type": "object"}}});
        assert_eq!(
            openai(&OutputSchema::strict("x", map.clone())),
            (map, false)
        );
    }

    #[test]
    fn bounds_become_words_for_anthropic() {
        let sent = anthropic(&schema());
        assert_eq!(
            sent.pointer("/properties/title"),
            Some(&json!({"type": "string", "description": "a name (minLength: 2)"}))
        );
        assert_eq!(sent.get("additionalProperties"), Some(&json!(false)));
        assert_eq!(sent.get("required"), Some(&json!(["title"])));
    }

    #[test]
    fn what_is_open_or_recursive_is_seen() {
        assert!(!is_open(&schema()) && !is_recursive(&schema()));
        assert!(is_open(
            &json!({"type": "object", "additionalProperties": {"type": "string"}})
        ));
        assert!(is_open(&json!({"type": "array", "items": {}})));
        let tree = json!({
            "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
            "$ref": "#/$defs/n",
        });
        assert!(is_recursive(&tree));
        let twice = json!({
            "$defs": {"n": {"type": "string"}},
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}},
        });
        assert!(!is_recursive(&twice));
    }
}
