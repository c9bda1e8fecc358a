//! What is in a bucket.

use axum::Json;
use axum::response::{IntoResponse as _, Response};

use super::call::{Call, decoded};
use super::fields::Fields;
use super::json_text;
use crate::Storage;
use crate::error::Result;
use crate::store::{Listing, Page, SortBy};
use crate::who::operations as op;

/// What the official server gives without being told.
const LIMIT: u64 = 100;

/// `POST /object/list/{bucket}`
pub(super) async fn v1(room: &Storage, mut call: Call, bucket: &str) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_LIST)?;
    let fields = call.fields().await?.object()?;
    let page = Page {
        prefix: fields.must_text("prefix")?,
        search: fields.text("search")?.unwrap_or_default(),
        limit: fields.number("limit", 1)?.unwrap_or(LIMIT),
        offset: fields.number("offset", 0)?.unwrap_or(0),
        sort: sort(
            &fields,
            &["name", "updated_at", "created_at", "last_accessed_at"],
        )?,
    };
    let listed = room.store.list_v1(&who, &decoded(bucket)?, &page).await?;
    Ok(json_text(listed))
}

/// `POST /object/list-v2/{bucket}`
pub(super) async fn v2(room: &Storage, mut call: Call, bucket: &str) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_LIST_V2)?;
    let fields = call.fields().await?.object()?;
    let folded = fields.flag("with_delimiter")?.unwrap_or(false);
    let listing = Listing {
        prefix: fields.text("prefix")?.unwrap_or_default(),
        delimiter: folded.then(|| "/".to_owned()),
        limit: fields.number("limit", 1)?,
        cursor: fields.text("cursor")?.filter(|cursor| !cursor.is_empty()),
        start_after: None,
        sort: sort(&fields, &["name", "updated_at", "created_at"])?,
    };
    let listed = room
        .store
        .list_v2(&who, &decoded(bucket)?, &listing)
        .await?;
    Ok(Json(listed.document()).into_response())
}

fn sort(fields: &Fields, columns: &[&str]) -> Result<SortBy> {
    let Some(sort) = fields.inner("sortBy")? else {
        return Ok(SortBy::default());
    };
    sort.must_text("column")?;
    Ok(SortBy {
        column: sort.choice("column", columns)?,
        order: sort.choice("order", &["asc", "desc"])?,
    })
}
