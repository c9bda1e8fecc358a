//! `keys.json`: written once, whole or not at all, for the owner's eyes only.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Clock, Rng, Secret};
use serde::{Deserialize, Serialize};

use super::KeyError;
use super::mint::{self, SigningKey, Times};

const VERSION: u32 = 1;
/// Our own file has about 1.5 kB; anything much larger is not ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What the file holds.
pub(super) struct Stored {
    pub(super) jwt_secret: Secret,
    pub(super) anon_key: Secret,
    pub(super) service_role_key: Secret,
    pub(super) publishable_key: Secret,
    pub(super) secret_key: Secret,
    pub(super) signing: SigningKey,
}

/// Its form on disk, the only place where secrets are written as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    jwt_secret: String,
    anon_key: String,
    service_role_key: String,
    publishable_key: String,
    secret_key: String,
    signing_kid: String,
    signing_pkcs8: String,
}

/// Reads the file, or makes and writes new keys when there is none.
pub(super) fn load_or_make(path: &Path, clock: &Clock, rng: &Rng) -> Result<Stored, KeyError> {
    let failed = |what| {
        move |source| KeyError::File {
            what,
            path: path.display().to_string(),
            source,
        }
    };
    match read(path) {
        Ok(text) => parse(&text).map_err(|reason| KeyError::Damaged {
            path: path.display().to_string(),
            reason,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let stored = make(clock, rng)?;
            write(path, &stored.form()).map_err(failed("write"))?;
            // Another process may have been first; what is on disk counts.
            let text = read(path).map_err(failed("read"))?;
            parse(&text).map_err(|reason| KeyError::Damaged {
                path: path.display().to_string(),
                reason,
            })
        }
        Err(error) => Err(failed("read")(error)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is too large to be a key file",
        ));
    }
    fs::read_to_string(path)
}

fn make(clock: &Clock, rng: &Rng) -> Result<Stored, KeyError> {
    // As text, since tools and `.env` files carry it as text: 256 random bits.
    let jwt_secret =
        Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rng.bytes::<32>()));
    Ok(Stored {
        anon_key: mint::legacy(&jwt_secret, "anon", &Times::ten_years(clock)),
        service_role_key: mint::legacy(&jwt_secret, "service_role", &Times::ten_years(clock)),
        publishable_key: mint::opaque("sb_publishable_", rng),
        secret_key: mint::opaque("sb_secret_", rng),
        signing: SigningKey::make(rng)?,
        jwt_secret,
    })
}

fn parse(text: &str) -> Result<Stored, String> {
    // serde's message would quote the value it stumbled on.
    let form: Form = serde_json::from_str(text)
        .map_err(|error| format!("line {} is not as written", error.line()))?;
    if form.version != VERSION {
        return Err(format!(
            "it is of version {}, this program writes version {VERSION}",
            form.version
        ));
    }
    let pkcs8 = STANDARD
        .decode(&form.signing_pkcs8)
        .map_err(|_| "the signing key is no base64".to_owned())?;
    Ok(Stored {
        jwt_secret: Secret::new(form.jwt_secret),
        anon_key: Secret::new(form.anon_key),
        service_role_key: Secret::new(form.service_role_key),
        publishable_key: Secret::new(form.publishable_key),
        secret_key: Secret::new(form.secret_key),
        signing: SigningKey::open(form.signing_kid, pkcs8)
            .map_err(|_| "the signing key is no P-256 key".to_owned())?,
    })
}

impl Stored {
    fn form(&self) -> Form {
        Form {
            version: VERSION,
            jwt_secret: self.jwt_secret.expose().to_owned(),
            anon_key: self.anon_key.expose().to_owned(),
            service_role_key: self.service_role_key.expose().to_owned(),
            publishable_key: self.publishable_key.expose().to_owned(),
            secret_key: self.secret_key.expose().to_owned(),
            signing_kid: self.signing.kid().to_owned(),
            signing_pkcs8: STANDARD.encode(self.signing.pkcs8()),
        }
    }
}

/// A complete file beside the place, then linked into it: a crash leaves
/// either no keys or all of them, and of two processes one wins.
fn write(path: &Path, form: &Form) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let draft = path.with_extension(format!("json.{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(serde_json::to_string_pretty(form)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked
}
