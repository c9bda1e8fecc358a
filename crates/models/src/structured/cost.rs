//! What it takes to check values against a schema. A schema of a few kilobytes
//! can ask for more steps than there is time: each `anyOf` of references
//! multiplies what its branches lead to. So steps are counted before any walk.

use serde_json::Value;

/// Steps through a schema alone, or until a walk over it gives up.
pub(crate) const SCHEMA_STEPS: u32 = 100_000;

/// Steps for one value: some seconds at the very worst.
const VALUE_STEPS: u32 = 2_000_000;

/// References behind references: each is a call on the stack.
const DEPTH_MAX: usize = 512;

/// Keywords that check the same value again.
const SAME_MANY: [&str; 3] = ["anyOf", "oneOf", "allOf"];
const SAME_ONE: [&str; 5] = ["not", "if", "then", "else", "propertyNames"];
const SAME_NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Whether a value can be checked against every part of the schema in a bounded
/// number of steps. Says why not.
pub(super) fn bounded(root: &Value) -> Result<(), String> {
    let mut left = SCHEMA_STEPS;
    starts(root, root, &mut left)
}

/// From each part of the schema: a value may come to it first.
fn starts(at: &Value, root: &Value, left: &mut u32) -> Result<(), String> {
    match at {
        Value::Object(members) => {
            in_place(at, root, left, 0)?;
            let mut below = members.values();
            below.try_for_each(|one| starts(one, root, left))
        }
        Value::Array(items) => items.iter().try_for_each(|one| starts(one, root, left)),
        _ => Ok(()),
    }
}

fn in_place(at: &Value, root: &Value, left: &mut u32, depth: usize) -> Result<(), String> {
    take(left, depth)?;
    // What is found by other means than a path in the schema is not followed
    // here, so it may not stand there.
    for name in ["$dynamicRef", "$recursiveRef"] {
        if at.get(name).is_some_and(Value::is_string) {
            return Err(format!("`{name}` is not supported"));
        }
    }
    if let Some(to) = at.get("$ref").and_then(Value::as_str) {
        let there = target(root, to)
            .ok_or_else(|| format!("`$ref` is `#` or a path within the schema, not `{to}`"))?;
        in_place(there, root, left, depth + 1)?;
    }
    same(at).try_for_each(|one| in_place(one, root, left, depth + 1))
}

/// Whether this value can be checked in a bounded number of steps: branches
/// multiply with each level of the value, too.
pub(super) fn affordable(root: &Value, value: &Value) -> Result<(), String> {
    let mut left = VALUE_STEPS;
    walk(root, value, root, &mut left, 0)
}

fn walk(
    at: &Value,
    value: &Value,
    root: &Value,
    left: &mut u32,
    depth: usize,
) -> Result<(), String> {
    take(left, depth)?;
    let there = at.get("$ref").and_then(Value::as_str);
    if let Some(there) = there.and_then(|to| target(root, to)) {
        walk(there, value, root, left, depth + 1)?;
    }
    same(at).try_for_each(|one| walk(one, value, root, left, depth + 1))?;
    let mut down = |schema: Option<&Value>, value: &Value| {
        let schema = schema.filter(|schema| schema.is_object());
        schema.map_or(Ok(()), |schema| walk(schema, value, root, left, depth + 1))
    };
    match value {
        Value::Object(members) => {
            let named = at.get("properties");
            let patterns = at.get("patternProperties").and_then(Value::as_object);
            for (name, value) in members {
                down(named.and_then(|named| named.get(name)), value)?;
                down(at.get("additionalProperties"), value)?;
                down(at.get("unevaluatedProperties"), value)?;
                for pattern in patterns.into_iter().flat_map(|all| all.values()) {
                    down(Some(pattern), value)?;
                }
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                for name in ["prefixItems", "items"] {
                    let all = at.get(name).and_then(Value::as_array);
                    down(all.and_then(|all| all.get(n)), value)?;
                }
                for name in ["items", "contains", "additionalItems", "unevaluatedItems"] {
                    down(at.get(name), value)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn take(left: &mut u32, depth: usize) -> Result<(), String> {
    *left = left.checked_sub(1).filter(|_| depth <= DEPTH_MAX).ok_or(
        "it has too many branches within branches, or too many references behind references",
    )?;
    Ok(())
}

/// The schemas that hold for the same value as this one.
fn same(at: &Value) -> impl Iterator<Item = &Value> {
    let many = SAME_MANY.iter().filter_map(|name| at.get(name)?.as_array());
    let one = SAME_ONE.iter().filter_map(|name| at.get(name));
    let named = SAME_NAMED
        .iter()
        .filter_map(|name| at.get(name)?.as_object());
    let all = many.flatten().chain(one);
    let all = all.chain(named.flat_map(|all| all.values()));
    all.filter(|one| one.is_object())
}

fn target<'a>(root: &'a Value, to: &str) -> Option<&'a Value> {
    let path = to.strip_prefix('#')?;
    let path = percent_encoding::percent_decode_str(path);
    root.pointer(&path.decode_utf8().ok()?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    /// Each level has eight ways to the next.
    fn fan(key: &str) -> Value {
        let mut defs = serde_json::Map::new();
        for n in 0..30 {
            let next = json!({"$ref": format!("#/$defs/n{}", n + 1)});
            let next = if key == "items" {
                json!({"items": next})
            } else {
                next
            };
            defs.insert(format!("n{n}"), json!({"anyOf": vec![next; 8]}));
        }
        defs.insert("n30".into(), json!({"type": "integer"}));
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n0"}}, "$defs": defs})
    }

    // Without a bound these would not end.
    #[test]
    fn branches_within_branches_are_refused() {
        assert!(bounded(&fan("")).unwrap_err().contains("branches"));
        assert!(crate::structured::dialect::is_recursive(&fan("")));
    }

    #[test]
    fn branches_that_multiply_with_the_value_are_refused_with_it() {
        let schema = fan("items");
        bounded(&schema).unwrap();
        let deep = (0..30).fold(json!("x"), |value, _| json!([value]));
        assert!(affordable(&schema, &json!({"a": deep})).is_err());
        affordable(&schema, &json!({"a": [[["x"]]]})).unwrap();
    }

    #[test]
    fn usual_schemas_are_fine() {
        let tree = json!({
            "$defs": {"n": {"anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"l": {"$ref": "#/$defs/n"}, "r": {"$ref": "#/$defs/n"}}},
            ]}},
            "$ref": "#/$defs/n",
        });
        bounded(&tree).unwrap();
        affordable(&tree, &json!({"l": {"l": "a", "r": "b"}, "r": "c"})).unwrap();
        assert!(bounded(&json!({"$ref": "#/$defs/none"})).is_err());
        let round = json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
        assert!(bounded(&round).is_err());
    }
}
