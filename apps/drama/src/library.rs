//! The library: what the rest of the app does with assets, for a user.
//!
//! An asset is its bytes, its row and the document beside its bytes. The row
//! is the truth: bytes come before it, the document is made of it. A crash in
//! between leaves bytes in the user's own folder that no list shows. Ending
//! one takes the bytes first, so that who asks again ends the rest.

use std::sync::Arc;

use axum::body::Body;
use kernel::{Caller, Rng};
use pg::{Pool, RequestTx, Rows, SqlBuf};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{Refusal, Result};
use crate::files::{Files, Opened};
use crate::layout::{self, Kind, Tag};
use crate::who::subject;

/// No statement here takes seconds; one that does holds a shared connection.
const STATEMENT_TIME: &str = "20s";
/// What a client says of its own about an asset; prompts and settings fit.
const METADATA_BYTES_MAX: usize = 64 << 10;
/// As its column.
const PROJECT_CHARS_MAX: usize = 200;
const FILENAME_CHARS_MAX: usize = 500;

/// An asset that is to be.
#[derive(Clone, Debug)]
pub struct NewAsset {
    /// The project's name.
    pub project: String,
    /// What it is.
    pub kind: Kind,
    /// What it is for.
    pub tag: Tag,
    /// What its file was called.
    pub filename: String,
    /// The file's media type.
    pub content_type: String,
    /// Whatever else there is to say of it.
    pub metadata: Map<String, Value>,
}

/// Which asset is meant; no other than of this project and kind, where they
/// are said.
#[derive(Clone, Debug)]
pub struct Which {
    /// Its id.
    pub id: Uuid,
    /// Its project's name.
    pub project: Option<String>,
    /// What it must be.
    pub kind: Option<Kind>,
}

/// Users' assets.
#[derive(Clone)]
pub struct Library {
    requests: Pool,
    files: Arc<dyn Files>,
    rng: Rng,
}

impl Library {
    pub(crate) fn new(requests: Pool, files: Arc<dyn Files>, rng: Rng) -> Self {
        Self {
            requests,
            files,
            rng,
        }
    }

    /// Keeps an asset; says what is known of it from then on.
    pub async fn add(&self, caller: &Caller, new: NewAsset, bytes: Body) -> Result<Value> {
        check(&new)?;
        let user = subject(caller).ok_or_else(|| Refusal::bad("the caller is no user"))?;
        let id = self.rng.uuid();
        let name = layout::bytes(user, &new.project, new.kind, (id, &new.filename));
        let size = self
            .files
            .put(caller, &name, &new.content_type, bytes)
            .await?;
        let kept = self.keep(caller, &new, (id, &name, size)).await;
        if kept.is_err() {
            // What is left of it no list shows; its owner's refusal matters more.
            drop(self.files.remove(caller, &both(&name)).await);
        }
        kept
    }

    async fn keep(
        &self,
        caller: &Caller,
        new: &NewAsset,
        (id, name, size): (Uuid, &str, u64),
    ) -> Result<Value> {
        let sql = SqlBuf::fixed(include_str!("../sql/add_asset.sql"))
            .bind(id.to_string())
            .bind(new.project.clone())
            .bind(layout::folder(&new.project))
            .bind(new.kind.word().to_owned())
            .bind(new.tag.word().to_owned())
            .bind(new.filename.clone())
            .bind(new.content_type.clone())
            .bind(size.to_string())
            .bind(name.to_owned())
            .bind(Value::Object(new.metadata.clone()).to_string());
        let rows = self.run(caller, sql).await?;
        let asset = self.asset(parsed(&rows)?);
        let text = asset.to_string();
        let beside = layout::document(name);
        let put = self
            .files
            .put(caller, &beside, "application/json", text.into());
        if let Err(error) = put.await {
            self.forget(caller, id).await?;
            return Err(error.into());
        }
        Ok(asset)
    }

    /// The caller's assets of a project, newest first, and how many there are.
    pub async fn list(
        &self,
        caller: &Caller,
        project: &str,
        (kind, tag): (Option<Kind>, Option<Tag>),
    ) -> Result<(Vec<Value>, u64)> {
        let sql = SqlBuf::fixed(include_str!("../sql/list_assets.sql"))
            .bind(layout::folder(project))
            .bind(kind.map(Kind::word).unwrap_or_default().to_owned())
            .bind(tag.map(Tag::word).unwrap_or_default().to_owned());
        let mut found = parsed(&self.run(caller, sql).await?)?;
        let total = found.get("total").and_then(Value::as_u64);
        let assets = match found.get_mut("assets").map(Value::take) {
            Some(Value::Array(assets)) => assets,
            _ => Vec::new(),
        };
        let assets = assets.into_iter().map(|asset| self.asset(asset)).collect();
        Ok((assets, total.unwrap_or_default()))
    }

    /// What is known of an asset that the caller sees.
    pub async fn find(&self, caller: &Caller, which: &Which) -> Result<Value> {
        let project = which.project.as_deref().map(layout::folder);
        let sql = SqlBuf::fixed(include_str!("../sql/find_asset.sql"))
            .bind(which.id.to_string())
            .bind(project.unwrap_or_default())
            .bind(which.kind.map(Kind::word).unwrap_or_default().to_owned());
        let rows = self.run(caller, sql).await?;
        if rows.is_empty() {
            return Err(Refusal::no_asset());
        }
        Ok(self.asset(parsed(&rows)?))
    }

    /// An asset's bytes.
    pub async fn open(&self, caller: &Caller, which: &Which) -> Result<Opened> {
        let asset = self.find(caller, which).await?;
        let opened = self.files.open(caller, key(&asset)).await?;
        opened.ok_or_else(Refusal::no_asset)
    }

    /// Ends an asset.
    pub async fn remove(&self, caller: &Caller, which: &Which) -> Result<()> {
        let asset = self.find(caller, which).await?;
        self.files.remove(caller, &both(key(&asset))).await?;
        self.forget(caller, which.id).await
    }

    async fn forget(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let sql = SqlBuf::fixed(include_str!("../sql/forget_asset.sql")).bind(id.to_string());
        self.run(caller, sql).await.map(drop)
    }

    /// One statement as the caller, in a transaction of its own.
    async fn run(&self, caller: &Caller, statement: SqlBuf) -> Result<Rows> {
        let mut request = RequestTx::of(caller, &[]);
        request.set("statement_timeout", STATEMENT_TIME);
        request.keeps_settings();
        request.push(statement);
        let rows = request.run(&self.requests).await;
        let mut rows = rows.map_err(|error| Refusal::of(&error))?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// As clients see it: with its address, and what was said of it beside what
    /// the library says, which nobody's words replace.
    fn asset(&self, row: Value) -> Value {
        let Value::Object(mut asset) = row else {
            return row;
        };
        let said = asset.remove("metadata");
        let name = asset.get("r2_key").and_then(Value::as_str);
        let url = self.files.public_url(name.unwrap_or_default());
        asset.insert("public_url".to_owned(), url.into());
        if let Some(Value::Object(said)) = said {
            for (name, value) in said {
                asset.entry(name).or_insert(value);
            }
        }
        Value::Object(asset)
    }
}

/// What a column would refuse with fewer words.
fn check(new: &NewAsset) -> Result<()> {
    let between = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
    if !between(&new.project, PROJECT_CHARS_MAX) {
        return Err(Refusal::bad("project_name must have 1 to 200 characters"));
    }
    if !between(&new.filename, FILENAME_CHARS_MAX) {
        return Err(Refusal::bad("filename must have 1 to 500 characters"));
    }
    if json!(new.metadata).to_string().len() > METADATA_BYTES_MAX {
        return Err(Refusal::bad("metadata is longer than 64 KiB"));
    }
    Ok(())
}

fn parsed(rows: &Rows) -> Result<Value> {
    let text = rows.scalar().ok_or_else(Refusal::no_asset)?;
    serde_json::from_str(text).map_err(|_| Refusal::no_asset())
}

fn key(asset: &Value) -> &str {
    let key = asset.get("r2_key").and_then(Value::as_str);
    key.unwrap_or_default()
}

/// The bytes and the document beside them.
fn both(name: &str) -> [String; 2] {
    [name.to_owned(), layout::document(name)]
}
