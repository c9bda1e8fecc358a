//! Buckets themselves.

use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderName, StatusCode};
use pg::SqlBuf;

use super::{Scene, document, set, status};
use crate::names::check_bucket;
use crate::s3::error::Result;
use crate::s3::xml::Writer;
use crate::store::NewBucket;

const REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

pub(crate) async fn list(scene: &Scene) -> Result<Response> {
    let sql = SqlBuf::fixed(
        "SELECT name, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') \
         FROM storage.buckets ORDER BY name COLLATE \"C\"",
    );
    let rows = scene.room.store.read(&scene.who, vec![sql]).await?;
    let mut xml = Writer::new("ListAllMyBucketsResult");
    xml.open("Buckets");
    for row in rows.first().into_iter().flat_map(pg::Rows::iter) {
        xml.open("Bucket")
            .text("Name", row.get(0).unwrap_or_default())
            .maybe("CreationDate", row.get(1))
            .close();
    }
    Ok(document(xml))
}

/// `x-amz-acl: public-read` makes it public.
pub(crate) async fn create(scene: &Scene) -> Result<Response> {
    let name = &scene.call.bucket;
    check_bucket(name)?;
    let new = NewBucket {
        id: name.clone(),
        name: name.clone(),
        public: scene.call.header("x-amz-acl") == Some("public-read"),
        owner: scene.who.subject(),
        file_size_limit: None,
        allowed_mime_types: None,
    };
    scene.room.store.create_bucket(&scene.who, &new).await?;
    let mut response = status(StatusCode::OK);
    set(&mut response, LOCATION, &format!("/{name}"));
    Ok(response)
}

pub(crate) async fn head(scene: &Scene) -> Result<Response> {
    visible(scene).await?;
    let mut response = status(StatusCode::OK);
    set(&mut response, REGION, &scene.room.s3.region);
    Ok(response)
}

pub(crate) async fn delete(scene: &Scene) -> Result<Response> {
    let store = &scene.room.store;
    store.delete_bucket(&scene.who, &scene.call.bucket).await?;
    Ok(status(StatusCode::NO_CONTENT))
}

pub(crate) async fn location(scene: &Scene) -> Result<Response> {
    visible(scene).await?;
    let mut xml = Writer::new("LocationConstraint");
    // Where a region is `us-east-1`, S3 says none.
    let region = scene.room.s3.region.as_str();
    if region != "us-east-1" {
        xml.plain(region);
    }
    Ok(document(xml))
}

pub(crate) async fn versioning(scene: &Scene) -> Result<Response> {
    visible(scene).await?;
    let mut xml = Writer::new("VersioningConfiguration");
    xml.text("Status", "Suspended")
        .text("MfaDelete", "Disabled");
    Ok(document(xml))
}

/// That this one may see it.
async fn visible(scene: &Scene) -> Result<()> {
    let store = &scene.room.store;
    store.bucket(&scene.who, &scene.call.bucket).await?;
    Ok(())
}
