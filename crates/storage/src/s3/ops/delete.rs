//! Objects' ends, one or up to a thousand.

use std::collections::HashSet;

use axum::response::Response;
use http::StatusCode;
use pg::{Rows, SqlBuf};
use serde_json::Value;

use super::{Scene, document, status};
use crate::s3::body::Incoming;
use crate::s3::error::Result;
use crate::s3::xml::Writer;
use crate::s3::xml::read::{self, XML_BYTES_MAX};
use crate::who::{Who, operations};

/// What is not there is gone already; so is what somebody may not see.
pub(crate) async fn one(scene: &Scene) -> Result<Response> {
    let (store, call) = (&scene.room.store, &scene.call);
    let keys = std::slice::from_ref(&call.key);
    let gone = store.delete(&scene.who, &call.bucket, keys).await?;
    if gone.is_empty() {
        scene.bucket_exists().await?;
        if !remaining(scene, keys).await?.is_empty() {
            return Err(crate::s3::error::S3Error::denied("Access Denied"));
        }
    }
    Ok(status(StatusCode::NO_CONTENT))
}

pub(crate) async fn many(scene: &Scene, body: Incoming) -> Result<Response> {
    let asked = read::delete(&body.collect(XML_BYTES_MAX).await?)?;
    // PostgreSQL has no such character, and no key has it.
    let keys: Vec<String> = asked
        .keys
        .iter()
        .filter(|key| !key.contains('\0'))
        .cloned()
        .collect();
    let (store, call) = (&scene.room.store, &scene.call);
    let gone = store.delete(&scene.who, &call.bucket, &keys).await?;
    let gone: HashSet<&str> = gone
        .iter()
        .map(|object| object.path.name.as_str())
        .collect();
    let unsettled: Vec<String> = keys
        .iter()
        .filter(|key| !gone.contains(key.as_str()))
        .cloned()
        .collect();
    let kept = if unsettled.is_empty() {
        HashSet::new()
    } else {
        remaining(scene, &unsettled).await?
    };
    if gone.is_empty() && kept.is_empty() {
        scene.bucket_exists().await?;
    }
    let mut xml = Writer::new("DeleteResult");
    for key in &asked.keys {
        if kept.contains(key) {
            xml.open("Error")
                .text("Key", key)
                .text("Code", "AccessDenied")
                .text("Message", "Access Denied")
                .close();
        } else if !asked.quiet {
            xml.open("Deleted").text("Key", key).close();
        }
    }
    Ok(document(xml))
}

/// Those of these that are still there, whoever may see them: a refusal is not
/// told as a deletion.
async fn remaining(scene: &Scene, keys: &[String]) -> Result<HashSet<String>> {
    let own = Who::store(operations::S3_DELETE_OBJECTS);
    let sql = SqlBuf::fixed(
        "SELECT name FROM storage.objects WHERE bucket_id = $1 \
         AND name = ANY (ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))",
    );
    let sql = sql
        .bind(scene.call.bucket.clone())
        .bind(Value::from(keys.to_vec()).to_string());
    let rows = scene.room.store.read(&own, vec![sql]).await?;
    let rows = rows.first().into_iter().flat_map(Rows::iter);
    Ok(rows
        .filter_map(|row| row.get(0).map(str::to_owned))
        .collect())
}
