//! Who does something, and what it is called for policies.

use http::request::Parts;
use kernel::Caller;
use serde::Deserialize;

use crate::error::{Result, StorageError};

/// Whom statements run as.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// The caller; none where the room acts on its own account.
    caller: Option<Caller>,
    operation: &'static str,
    /// `request.*` of the request that it is about.
    settings: Vec<(&'static str, String)>,
}

impl Who {
    /// The caller of a request.
    pub(crate) fn of(parts: &Parts, operation: &'static str) -> Result<Self> {
        let caller = Caller::of(parts).cloned();
        let caller = caller.ok_or_else(|| StorageError::access_denied("nobody is asking"))?;
        Ok(Self {
            settings: vec![
                ("request.method", parts.method.as_str().to_owned()),
                ("request.path", parts.uri.path().to_owned()),
            ],
            ..Self::caller(caller, operation)
        })
    }

    /// Somebody who is known already.
    pub(crate) fn caller(caller: Caller, operation: &'static str) -> Self {
        Self {
            caller: Some(caller),
            operation,
            settings: Vec::new(),
        }
    }

    /// The room itself: for what a token of ours allows, for public buckets and
    /// for its books. No policy is asked.
    pub(crate) fn store(operation: &'static str) -> Self {
        Self {
            caller: None,
            operation,
            settings: Vec::new(),
        }
    }

    /// The room itself doing the same.
    pub(crate) fn into_store(mut self) -> Self {
        self.caller = None;
        self
    }

    pub(crate) fn as_caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }

    /// Whether a token or a key proved who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.caller
            .as_ref()
            .is_none_or(|caller| caller.authenticated)
    }

    /// The token's subject: who owns what is uploaded.
    pub(crate) fn subject(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Claims {
            sub: Option<String>,
        }
        let claims = &self.caller.as_ref()?.claims;
        serde_json::from_str::<Claims>(claims).ok()?.sub
    }
}

/// What things are called in `storage.operation`, as the official server does.
pub(crate) mod operations {
    macro_rules! operations {
        ($($name:ident = $text:literal;)*) => {
            $(pub(crate) const $name: &str = $text;)*
        };
    }
    operations! {
        BUCKET_CREATE = "storage.bucket.create";
        BUCKET_DELETE = "storage.bucket.delete";
        BUCKET_EMPTY = "storage.bucket.empty";
        BUCKET_LIST = "storage.bucket.list";
        BUCKET_GET = "storage.bucket.get";
        BUCKET_UPDATE = "storage.bucket.update";
        OBJECT_COPY = "storage.object.copy";
        OBJECT_UPLOAD = "storage.object.upload";
        OBJECT_UPLOAD_UPDATE = "storage.object.upload_update";
        OBJECT_UPLOAD_SIGNED = "storage.object.upload_signed";
        OBJECT_DELETE = "storage.object.delete";
        OBJECT_DELETE_MANY = "storage.object.delete_many";
        OBJECT_GET_PUBLIC = "storage.object.get_public";
        OBJECT_GET = "storage.object.get_authenticated";
        OBJECT_INFO_PUBLIC = "storage.object.info_public";
        OBJECT_INFO = "object.get_authenticated_info";
        OBJECT_HEAD = "object.head_authenticated_info";
        OBJECT_GET_SIGNED = "storage.object.get_signed";
        OBJECT_SIGN_UPLOAD = "storage.object.sign_upload_url";
        OBJECT_SIGN = "storage.object.sign";
        OBJECT_SIGN_MANY = "storage.object.sign_many";
        OBJECT_LIST = "storage.object.list";
        OBJECT_LIST_V2 = "storage.object.list_v2";
        OBJECT_MOVE = "storage.object.move";
        RENDER = "storage.render.image_authenticated";
        RENDER_PUBLIC = "storage.render.image_public";
        RENDER_SIGNED = "storage.render.image_sign";
        S3_ABORT_MULTIPART = "storage.s3.upload.abort_multipart";
        S3_COMPLETE_MULTIPART = "storage.s3.upload.complete_multipart";
        S3_CREATE_MULTIPART = "storage.s3.upload.create_multipart";
        S3_LIST_MULTIPART = "storage.s3.upload.list_multipart";
        S3_LIST_PARTS = "storage.s3.upload.list_parts";
        S3_UPLOAD_PART = "storage.s3.upload.part";
        S3_UPLOAD_PART_COPY = "storage.s3.upload.part_copy";
        S3_UPLOAD = "storage.s3.upload";
        S3_COPY_OBJECT = "storage.s3.object.copy";
        S3_GET_OBJECT = "storage.s3.object.get";
        S3_LIST_OBJECTS = "storage.s3.object.list";
        S3_HEAD_OBJECT = "storage.s3.object.info";
        S3_DELETE_OBJECTS = "storage.s3.object.delete_many";
        S3_DELETE_OBJECT = "storage.s3.object.delete";
        S3_GET_OBJECT_TAGGING = "storage.s3.object.get_tagging";
        S3_CREATE_BUCKET = "storage.s3.bucket.create";
        S3_DELETE_BUCKET = "storage.s3.bucket.delete";
        S3_GET_BUCKET = "storage.s3.bucket.get";
        S3_HEAD_BUCKET = "storage.s3.bucket.head";
        S3_LIST_BUCKETS = "storage.s3.bucket.list";
        S3_GET_BUCKET_LOCATION = "storage.s3.bucket.get_location";
        S3_GET_BUCKET_VERSIONING = "storage.s3.bucket.get_versioning";
        TUS_CREATE = "storage.tus.upload.create";
        TUS_PART = "storage.tus.upload.part";
    }
}
