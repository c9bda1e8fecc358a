//! `[storage]` of `supabase/config.toml`: the limit for files, and buckets that
//! are made, or brought up to date, at every start.

use pg::Session;
use serde_json::Value;

use super::ProjectError;

/// `[storage]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// `enabled`
    pub enabled: Option<bool>,
    /// `file_size_limit`, in bytes.
    pub file_size_limit: Option<u64>,
    /// `buckets.*`
    pub buckets: Vec<Bucket>,
}

/// `[storage.buckets.*]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub id: String,
    /// `public`
    pub public: bool,
    /// `file_size_limit`, in bytes.
    pub file_size_limit: Option<u64>,
    /// `allowed_mime_types`
    pub allowed_mime_types: Option<Vec<String>>,
}

const UPSERT: &str = "
    INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    VALUES ($1, $1, $2::boolean, $3::bigint,
            CASE WHEN $4::jsonb IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($4::jsonb)) END)
    ON CONFLICT (id) DO UPDATE
    SET public = excluded.public,
        file_size_limit = excluded.file_size_limit,
        allowed_mime_types = excluded.allowed_mime_types
    WHERE (buckets.public, buckets.file_size_limit, buckets.allowed_mime_types)
        IS DISTINCT FROM (excluded.public, excluded.file_size_limit, excluded.allowed_mime_types)";

/// Makes the buckets as the file says. One that is not in it is left alone.
pub(super) async fn apply(session: &mut Session, buckets: &[Bucket]) -> Result<(), ProjectError> {
    for bucket in buckets {
        let (public, limit) = (bucket.public.to_string(), bucket.file_size_limit);
        let limit = limit.map(|limit| limit.to_string());
        let mimes = bucket.allowed_mime_types.clone();
        let mimes = mimes.map(|mimes| Value::from(mimes).to_string());
        let values = [
            Some(bucket.id.as_str()),
            Some(public.as_str()),
            limit.as_deref(),
            mimes.as_deref(),
        ];
        let made = session.query(UPSERT, &values).await;
        made.map_err(ProjectError::database(
            "make the buckets of supabase/config.toml",
        ))?;
    }
    Ok(())
}

/// The section, read as leniently as the rest of the file: what is not
/// understood is said and passed over.
pub(super) fn read(section: Option<&Value>, warn: &mut dyn FnMut(String)) -> Storage {
    let mut storage = Storage::default();
    let Some(section) = section else {
        return storage;
    };
    let mut limit = |of: &Value, place: &str| {
        let said = of.get("file_size_limit")?;
        let bytes = said.as_u64().or_else(|| size(said.as_str()?));
        if bytes.is_none() {
            warn(format!(
                "`{place}.file_size_limit` is no size and is ignored"
            ));
        }
        bytes
    };
    storage.enabled = section.get("enabled").and_then(Value::as_bool);
    storage.file_size_limit = limit(section, "storage");
    let buckets = section.get("buckets").and_then(Value::as_object);
    for (id, bucket) in buckets.into_iter().flatten() {
        let place = format!("storage.buckets.{id}");
        let mimes = bucket.get("allowed_mime_types").and_then(Value::as_array);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        storage.buckets.push(Bucket {
            id: id.clone(),
            public: bucket.get("public").and_then(Value::as_bool) == Some(true),
            // No limit of its own, as the official CLI takes an empty one.
            file_size_limit: limit(bucket, &place).filter(|bytes| *bytes > 0),
            allowed_mime_types: mimes
                .map(|mimes| mimes.iter().filter_map(text).collect())
                .filter(|mimes: &Vec<_>| !mimes.is_empty()),
        });
    }
    storage
}

/// `50MiB`, `5MB`, `500KB`, `100`: powers of 1024 in every spelling, as the
/// official CLI reads them.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let letters = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(letters);
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    let bytes = number * 1024_f64.powi(power);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; `as` stops at the last number"
    )]
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_section_is_read_as_the_official_cli_does() {
        let mut warnings = Vec::new();
        let section = json!({
            "enabled": true,
            "file_size_limit": "50MiB",
            "buckets": {
                "images": {"public": true, "file_size_limit": "1.5MB", "allowed_mime_types": ["image/png"]},
                "plain": {"file_size_limit": "much"},
            },
        });
        let storage = read(Some(&section), &mut |warning| warnings.push(warning));
        assert_eq!(storage.file_size_limit, Some(50 << 20));
        let images = Bucket {
            id: "images".to_owned(),
            public: true,
            file_size_limit: Some(3 << 19),
            allowed_mime_types: Some(vec!["image/png".to_owned()]),
        };
        assert_eq!(storage.buckets.first(), Some(&images));
        assert_eq!(
            storage.buckets.get(1).map(|plain| plain.file_size_limit),
            Some(None)
        );
        assert_eq!(warnings.len(), 1);
    }
}
