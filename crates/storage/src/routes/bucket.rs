//! Buckets.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, decoded};
use super::fields::Fields;
use super::json_text;
use crate::Storage;
use crate::error::{Result, StorageError};
use crate::names::check_bucket;
use crate::store::{BucketChange, BucketPage, Limit, NewBucket};
use crate::who::operations as op;

/// The most kinds that a bucket may be limited to, and bytes in the name of one.
const MIMES_MAX: usize = 500;
const MIME_BYTES_MAX: usize = 1000;
/// What the official server keeps for tables of its own.
const RESERVED: &str = "--iceberg";

/// Everything below `/bucket`; nothing where there is nothing.
pub(super) async fn route(room: &Storage, call: Call, path: &str) -> Result<Option<Response>> {
    let method = call.parts.method.clone();
    let (id, rest) = path.split_once('/').unwrap_or((path, ""));
    let response = match (method.as_str(), id, rest) {
        ("POST", "", "") => create(room, call).await,
        ("GET", "", "") => list(room, &call).await,
        ("GET", id, "") => get(room, &call, &decoded(id)?).await,
        ("PUT", id, "") if !id.is_empty() => update(room, call, &decoded(id)?).await,
        ("DELETE", id, "") if !id.is_empty() => delete(room, &call, &decoded(id)?).await,
        ("POST", id, "empty") => empty(room, &call, &decoded(id)?).await,
        _ => return Ok(None),
    };
    response.map(Some)
}

async fn create(room: &Storage, mut call: Call) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_CREATE)?;
    let fields = call.fields().await?.object()?;
    let name = fields.must_text("name")?;
    let id = fields.text("id")?.filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| name.clone());
    let public = fields.flag("public")?.unwrap_or(false);
    let kind = fields.choice("type", &["STANDARD", "ANALYTICS"])?;
    let limits = limits(room, &fields)?;
    if name.trim() != name || name.ends_with(RESERVED) {
        return Err(StorageError::invalid_bucket_name());
    }
    check_bucket(&name)?;
    // The official server looks at the name only; the id is in every path.
    check_bucket(&id)?;
    if kind.as_deref() == Some("ANALYTICS") {
        let message = "The feature Iceberg buckets are not enabled for this tenant is not enabled for this resource";
        let code = "FeatureNotEnabled";
        return Err(StorageError::new(StatusCode::CONFLICT, code, code, message));
    }
    let new = NewBucket {
        id,
        name: name.clone(),
        public,
        owner: who.subject(),
        file_size_limit: set(limits.file_size_limit),
        allowed_mime_types: set(limits.allowed_mime_types),
    };
    room.store.create_bucket(&who, &new).await?;
    Ok(Json(json!({"name": name})).into_response())
}

async fn update(room: &Storage, mut call: Call, id: &str) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_UPDATE)?;
    let fields = call.fields().await?.object()?;
    let known = ["public", "file_size_limit", "allowed_mime_types"];
    if known.iter().all(|name| fields.get(name).is_none()) {
        let message = "body must have required property 'public'";
        return Err(StorageError::malformed(message));
    }
    let public = fields.flag("public")?;
    check_bucket(id)?;
    let change = BucketChange {
        public,
        ..limits(room, &fields)?
    };
    room.store.change_bucket(&who, id, &change).await?;
    Ok(Json(json!({"message": "Successfully updated"})).into_response())
}

async fn list(room: &Storage, call: &Call) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_LIST)?;
    let query = Fields::of_query(call.parts.uri.query());
    let page = BucketPage {
        limit: query.number("limit", 1)?,
        offset: query.number("offset", 0)?.unwrap_or(0),
        sort_column: query.choice("sortColumn", &["id", "name", "created_at", "updated_at"])?,
        descending: query.choice("sortOrder", &["asc", "desc"])?.as_deref() == Some("desc"),
        search: query.text("search")?,
        without_type: is_old_python(call),
    };
    Ok(json_text(room.store.buckets(&who, &page).await?))
}

/// Clients in Python before 2.18.0 (storage3 before 0.12.1) fail at a bucket
/// that has a type.
fn is_old_python(call: &Call) -> bool {
    let before = |header: &str, name: &str, first: [u32; 3]| {
        let text = call.header(header)?.to_ascii_lowercase();
        let (_, version) = text.split_once(name)?;
        let mut numbers = version
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse::<u32>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Some([next(), next(), next()] < first)
    };
    before("x-client-info", "supabase-py/", [2, 18, 0]).unwrap_or(false)
        || before("user-agent", "supabase-py/storage3 v", [0, 12, 1]).unwrap_or(false)
}

async fn get(room: &Storage, call: &Call, id: &str) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_GET)?;
    Ok(json_text(room.store.bucket_document(&who, id).await?))
}

async fn delete(room: &Storage, call: &Call, id: &str) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_DELETE)?;
    room.store.delete_bucket(&who, id).await?;
    Ok(Json(json!({"message": "Successfully deleted"})).into_response())
}

/// The official server leaves it to a queue; here it is done when it is said,
/// and the words are those that clients compare.
async fn empty(room: &Storage, call: &Call, id: &str) -> Result<Response> {
    let who = call.authenticated(op::BUCKET_EMPTY)?;
    if who
        .as_caller()
        .is_some_and(|caller| &*caller.role != "service_role")
    {
        let refused = StorageError::access_denied("Access denied: Invalid role");
        return Err(refused.answered_with(StatusCode::FORBIDDEN));
    }
    room.store.bucket(&who, id).await?;
    room.store.empty_bucket(&who, id).await?;
    let message = "Empty bucket has been queued. Completion may take up to an hour.";
    Ok(Json(json!({"message": message})).into_response())
}

/// What a body says about size and kinds.
fn limits(room: &Storage, fields: &Fields) -> Result<BucketChange> {
    let file_size_limit = match fields.get("file_size_limit") {
        None => Limit::Kept,
        Some(Value::Null) => Limit::Lifted,
        Some(Value::String(text)) => Limit::Set(size(text)?),
        Some(_) => Limit::Set(fields.must_number("file_size_limit", 0)?),
    };
    if matches!(&file_size_limit, Limit::Set(limit) if *limit > room.config.file_size_limit) {
        return Err(StorageError::too_large("object"));
    }
    let allowed_mime_types = match fields.get("allowed_mime_types") {
        None => Limit::Kept,
        Some(Value::Null) => Limit::Lifted,
        Some(_) => {
            let mut list = fields.texts("allowed_mime_types")?.unwrap_or_default();
            list.retain(|mime| !mime.is_empty());
            if let Some(bad) = list.iter().find(|mime| !is_kind(mime)) {
                return Err(StorageError::invalid_mime_type(bad));
            }
            if list.len() > MIMES_MAX {
                let message =
                    format!("body/allowed_mime_types must NOT have more than {MIMES_MAX} items");
                return Err(StorageError::malformed(message));
            }
            Limit::Set(list)
        }
    };
    Ok(BucketChange {
        public: None,
        file_size_limit,
        allowed_mime_types,
    })
}

fn set<T>(limit: Limit<T>) -> Option<T> {
    match limit {
        Limit::Set(value) => Some(value),
        Limit::Kept | Limit::Lifted => None,
    }
}

/// `20GB`, `20mb`, `1.5kb`, `3b`: powers of ten, three digits of them count.
pub(crate) fn size(text: &str) -> Result<u64> {
    let refused = StorageError::invalid_file_size;
    let letters = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(refused)?;
    let (number, unit) = text.split_at(letters);
    let unit: f64 = match unit.to_ascii_lowercase().as_str() {
        "gb" => 1e9,
        "mb" => 1e6,
        "kb" => 1e3,
        "b" => 1.0,
        _ => return Err(refused()),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if !digits(whole) || !digits(part) {
        return Err(refused());
    }
    let number: f64 = number.parse().map_err(|_| refused())?;
    let number: f64 = format!("{number:.2e}").parse().map_err(|_| refused())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; `as` stops at the last number"
    )]
    Ok((number * unit).round() as u64)
}

/// `image/png`, `image/*`, `*`.
fn is_kind(mime: &str) -> bool {
    let word = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    if mime.len() > MIME_BYTES_MAX {
        return false;
    }
    if mime.ends_with('*') {
        return true;
    }
    let (essence, charset) = mime.split_once(';').unwrap_or((mime, ""));
    let named = |charset: &str| {
        charset
            .trim_start()
            .strip_prefix("charset=")
            .is_some_and(word)
    };
    let fits = essence
        .split_once('/')
        .is_some_and(|(kind, of)| word(kind) && word(of));
    fits && (charset.is_empty() || named(charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_ten() {
        assert_eq!(size("20GB").ok(), Some(20_000_000_000));
        assert_eq!(size("1.5kb").ok(), Some(1500));
        assert_eq!(size("12345b").ok(), Some(12_300));
        for bad in ["", "20", "mb", "-1mb", "1.mb", "1e3b", "20 MB", "20TB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_are_kinds() {
        for good in [
            "image/png",
            "image/*",
            "*",
            "text/plain; charset=utf-8",
            "a/b+c.d",
        ] {
            assert!(is_kind(good), "{good}");
        }
        for bad in [
            "image",
            "image/",
            "thisisnotmime",
            "image/png/x",
            "text/plain; x=y",
        ] {
            assert!(!is_kind(bad), "{bad}");
        }
    }
}
