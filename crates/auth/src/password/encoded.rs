//! Reads stored hashes: which algorithm, which parameters, salt and digest.
//!
//! Every format is one function from text to [`Encoded`]. Parameters are
//! bounded here and nowhere else: an `Encoded` that exists can be computed
//! within [`MEMORY_MAX`] and a few seconds. Hashes come from imports and from
//! whoever holds the service key, so they may be hostile.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes that one check may use. The first recommendation of RFC 9106 for
/// small machines is 64 MiB; four times that is more than anyone should ask.
pub(super) const MEMORY_MAX: usize = 256 << 20;

/// Below 4 bcrypt does not exist; 16 takes about four seconds.
pub(super) const BCRYPT_COST_MIN: u32 = 4;
pub(super) const BCRYPT_COST_MAX: u32 = 16;

/// GoTrue's bounds for argon2.
const ARGON2_PASSES_MAX: u32 = 20;
const ARGON2_LANES_MAX: u32 = 16;
/// Memory times passes, in KiB: about four seconds.
const ARGON2_WORK_MAX: u64 = 4 << 20;

/// `N * r * p`: about three seconds.
const SCRYPT_WORK_MAX: u64 = 1 << 23;

/// Django asks for 1.2 million today; about two seconds.
const PBKDF2_ROUNDS_MAX: u32 = 5_000_000;

/// The longest text: `encrypted_password` has 255 characters in GoTrue's
/// table, an import may have some more.
const TEXT_MAX: usize = 1024;

/// Shorter digests could be met by guessing, longer ones are not made by
/// anything that stores passwords.
const DIGEST_MIN: usize = 12;
const DIGEST_MAX: usize = 128;

/// A stored hash, ready to be compared with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Encoded {
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        digest: Vec<u8>,
        /// Django's variant hashes the hexadecimal SHA-256 of the password.
        sha256_first: bool,
    },
    Argon2 {
        id: bool,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
    Scrypt {
        cost: ScryptCost,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
    /// Firebase: scrypt makes a key, which encrypts the project's signer key.
    Firebase {
        cost: ScryptCost,
        /// With the separator behind it.
        salt: Vec<u8>,
        signer: Vec<u8>,
        digest: Vec<u8>,
    },
    Pbkdf2 {
        hash: Pbkdf2Hash,
        rounds: u32,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pbkdf2Hash {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScryptCost {
    pub(super) log_n: u8,
    pub(super) r: u32,
    pub(super) p: u32,
}

/// Why a stored hash cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No format that we know.
    #[error("the password hash has an unknown format")]
    UnknownFormat,
    /// A known format with something wrong in it.
    #[error("the password hash is malformed")]
    Malformed,
    /// Checking it would take too much memory or time.
    #[error("the password hash asks for more memory or time than is allowed")]
    TooExpensive,
}

impl Encoded {
    /// Matches no password.
    pub(super) const NOTHING: Self = Self::Pbkdf2 {
        hash: Pbkdf2Hash::Sha256,
        rounds: 1,
        salt: Vec::new(),
        digest: Vec::new(),
    };

    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        if text.len() > TEXT_MAX {
            return Err(Unusable::Malformed);
        }
        // Django puts its own name before the usual form.
        let django = text
            .strip_prefix("argon2")
            .filter(|rest| rest.starts_with('$'));
        let text = django.unwrap_or(text);
        let (name, rest) = match text.strip_prefix('$') {
            Some(rest) => rest.split_once('$').ok_or(Unusable::UnknownFormat)?,
            None => return Self::parse_without_dollar(text),
        };
        match name {
            "2a" | "2b" | "2y" => bcrypt(rest, false),
            "argon2id" => argon2(rest, true),
            "argon2i" => argon2(rest, false),
            "scrypt" => scrypt_phc(rest),
            "fbscrypt" => firebase(rest),
            "pbkdf2" | "pbkdf2-sha1" => pbkdf2_phc(rest, Pbkdf2Hash::Sha1),
            "pbkdf2-sha256" => pbkdf2_phc(rest, Pbkdf2Hash::Sha256),
            "pbkdf2-sha512" => pbkdf2_phc(rest, Pbkdf2Hash::Sha512),
            _ => Err(Unusable::UnknownFormat),
        }
    }

    /// Django's and Werkzeug's forms.
    fn parse_without_dollar(text: &str) -> Result<Self, Unusable> {
        let (method, rest) = text.split_once('$').ok_or(Unusable::UnknownFormat)?;
        match method {
            "pbkdf2_sha256" => pbkdf2_django(rest, Pbkdf2Hash::Sha256),
            "pbkdf2_sha1" => pbkdf2_django(rest, Pbkdf2Hash::Sha1),
            "scrypt" => scrypt_django(rest),
            "bcrypt" | "bcrypt_sha256" => {
                let inner = rest.strip_prefix('$').ok_or(Unusable::Malformed)?;
                let (version, rest) = inner.split_once('$').ok_or(Unusable::Malformed)?;
                match version {
                    "2a" | "2b" | "2y" => bcrypt(rest, method == "bcrypt_sha256"),
                    _ => Err(Unusable::UnknownFormat),
                }
            }
            _ => werkzeug(method, rest),
        }
    }

    /// Whether this is what we would write today.
    pub(super) fn is_current(&self, ours: u32) -> bool {
        matches!(self, Self::Bcrypt { cost, sha256_first: false, .. } if *cost == ours)
    }

    /// Bytes that a check takes, apart from a few.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Argon2 { memory_kib, .. } => usize::try_from(*memory_kib)
                .unwrap_or(usize::MAX)
                .saturating_mul(1024),
            Self::Scrypt { cost, .. } | Self::Firebase { cost, .. } => cost.memory(),
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } => 0,
        }
    }
}

impl ScryptCost {
    fn new(log_n: u32, r: u32, p: u32) -> Result<Self, Unusable> {
        if log_n == 0 || r == 0 || p == 0 {
            return Err(Unusable::Malformed);
        }
        let n = 1_u64.checked_shl(log_n).filter(|_| log_n < 32);
        let work = n.and_then(|n| n.checked_mul(u64::from(r))?.checked_mul(u64::from(p)));
        if work.is_none_or(|work| work > SCRYPT_WORK_MAX) {
            return Err(Unusable::TooExpensive);
        }
        let log_n = u8::try_from(log_n).map_err(|_| Unusable::TooExpensive)?;
        let cost = Self { log_n, r, p };
        if cost.memory() > MEMORY_MAX {
            Err(Unusable::TooExpensive)
        } else {
            Ok(cost)
        }
    }

    fn of_n(n: u32, r: u32, p: u32) -> Result<Self, Unusable> {
        if n.is_power_of_two() {
            Self::new(n.trailing_zeros(), r, p)
        } else {
            Err(Unusable::Malformed)
        }
    }

    fn memory(self) -> usize {
        let blocks = (1_u64 << self.log_n.min(40)).saturating_add(u64::from(self.p));
        let bytes = blocks.saturating_mul(u64::from(self.r)).saturating_mul(128);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// `10$<22 characters of salt><31 of digest>`
fn bcrypt(rest: &str, sha256_first: bool) -> Result<Encoded, Unusable> {
    let (cost, tail) = rest.split_once('$').ok_or(Unusable::Malformed)?;
    if cost.len() != 2 || tail.len() != 53 || !tail.is_ascii() {
        return Err(Unusable::Malformed);
    }
    let cost = number(cost)?;
    if cost < BCRYPT_COST_MIN {
        return Err(Unusable::Malformed);
    }
    if cost > BCRYPT_COST_MAX {
        return Err(Unusable::TooExpensive);
    }
    let (salt, digest) = tail.split_at(22);
    let salt: [u8; 16] = decode(&BCRYPT64, salt)?
        .try_into()
        .map_err(|_| Unusable::Malformed)?;
    Ok(Encoded::Bcrypt {
        cost,
        salt,
        digest: decode(&BCRYPT64, digest)?,
        sha256_first,
    })
}

/// `v=19$m=65536,t=3,p=4$<salt>$<digest>`; other versions, keys and associated
/// data are refused, as GoTrue does.
fn argon2(rest: &str, id: bool) -> Result<Encoded, Unusable> {
    let [version, parameters, salt, digest] = parts(rest, '$')?;
    if version != "v=19" {
        return Err(Unusable::UnknownFormat);
    }
    let [memory, passes, lanes] = parts(parameters, ',')?;
    let memory_kib = named(memory, "m=")?;
    let passes = named(passes, "t=")?;
    let lanes = named(lanes, "p=")?;
    if passes == 0 || lanes == 0 || memory_kib < lanes.saturating_mul(8) {
        return Err(Unusable::Malformed);
    }
    let work = u64::from(memory_kib) * u64::from(passes);
    let memory_max = u32::try_from(MEMORY_MAX / 1024).unwrap_or(u32::MAX);
    if memory_kib > memory_max
        || passes > ARGON2_PASSES_MAX
        || lanes > ARGON2_LANES_MAX
        || work > ARGON2_WORK_MAX
    {
        return Err(Unusable::TooExpensive);
    }
    let salt = decode64(salt)?;
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(Unusable::Malformed);
    }
    Ok(Encoded::Argon2 {
        id,
        memory_kib,
        passes,
        lanes,
        salt,
        digest: checked(decode64(digest)?)?,
    })
}

/// `ln=16,r=8,p=1$<salt>$<digest>`
fn scrypt_phc(rest: &str) -> Result<Encoded, Unusable> {
    let [parameters, salt, digest] = parts(rest, '$')?;
    let [log_n, r, p] = parts(parameters, ',')?;
    Ok(Encoded::Scrypt {
        cost: ScryptCost::new(named(log_n, "ln=")?, named(r, "r=")?, named(p, "p=")?)?,
        salt: decode64(salt)?,
        digest: checked(decode64(digest)?)?,
    })
}

/// `16384$<salt>$8$1$<digest>`, the salt as it is.
fn scrypt_django(rest: &str) -> Result<Encoded, Unusable> {
    let [n, salt, r, p, digest] = parts(rest, '$')?;
    Ok(Encoded::Scrypt {
        cost: ScryptCost::of_n(number(n)?, number(r)?, number(p)?)?,
        salt: salt.as_bytes().to_vec(),
        digest: checked(decode64(digest)?)?,
    })
}

/// `v=1,n=14,r=8,p=1,ss=Bw==,sk=<signer key>$<salt>$<digest>`, as GoTrue's
/// importer writes what Firebase exports.
fn firebase(rest: &str) -> Result<Encoded, Unusable> {
    let [parameters, salt, digest] = parts(rest, '$')?;
    let (mut n, mut r, mut p) = (0, 0, 0);
    let (mut separator, mut signer) = ("", "");
    for parameter in parameters.split(',') {
        match parameter.split_once('=') {
            Some(("v", "1")) => {}
            Some(("v", _)) => return Err(Unusable::UnknownFormat),
            Some(("n", value)) => n = number(value)?,
            Some(("r", value)) => r = number(value)?,
            Some(("p", value)) => p = number(value)?,
            Some(("ss", value)) => separator = value,
            Some(("sk", value)) => signer = value,
            _ => return Err(Unusable::Malformed),
        }
    }
    let mut salt = decode64(salt)?;
    salt.extend(decode64(separator)?);
    let signer = decode64(signer)?;
    let digest = checked(decode64(digest)?)?;
    if signer.len() != digest.len() {
        // Such a hash would match nothing.
        return Err(Unusable::Malformed);
    }
    Ok(Encoded::Firebase {
        cost: ScryptCost::new(n, r, p)?,
        salt,
        signer,
        digest,
    })
}

/// `i=600000,l=32$<salt>$<digest>`, or `600000$…` as passlib writes it.
fn pbkdf2_phc(rest: &str, hash: Pbkdf2Hash) -> Result<Encoded, Unusable> {
    let [parameters, salt, digest] = parts(rest, '$')?;
    let digest = decode64(digest)?;
    let mut rounds = None;
    for parameter in parameters.split(',') {
        match parameter.split_once('=') {
            Some(("i", value)) => rounds = Some(number(value)?),
            Some(("l", value)) if usize::try_from(number(value)?) == Ok(digest.len()) => {}
            None if rounds.is_none() => rounds = Some(number(parameter)?),
            _ => return Err(Unusable::Malformed),
        }
    }
    pbkdf2(hash, rounds.unwrap_or(0), decode64(salt)?, digest)
}

/// `1200000$<salt>$<digest>`, the salt as it is.
fn pbkdf2_django(rest: &str, hash: Pbkdf2Hash) -> Result<Encoded, Unusable> {
    let [rounds, salt, digest] = parts(rest, '$')?;
    let salt = salt.as_bytes().to_vec();
    pbkdf2(hash, number(rounds)?, salt, decode64(digest)?)
}

fn pbkdf2(
    hash: Pbkdf2Hash,
    rounds: u32,
    salt: Vec<u8>,
    digest: Vec<u8>,
) -> Result<Encoded, Unusable> {
    match rounds {
        0 => Err(Unusable::Malformed),
        1..=PBKDF2_ROUNDS_MAX => Ok(Encoded::Pbkdf2 {
            hash,
            rounds,
            salt,
            digest: checked(digest)?,
        }),
        _ => Err(Unusable::TooExpensive),
    }
}

/// Flask's: `scrypt:32768:8:1$<salt>$<hexadecimal>`, `pbkdf2:sha256:600000$…`.
fn werkzeug(method: &str, rest: &str) -> Result<Encoded, Unusable> {
    if !(method.starts_with("scrypt:") || method.starts_with("pbkdf2:")) {
        return Err(Unusable::UnknownFormat);
    }
    let [salt, digest] = parts(rest, '$')?;
    let salt = salt.as_bytes().to_vec();
    let digest = checked(hexadecimal(digest)?)?;
    let method: Vec<&str> = method.split(':').collect();
    match method.as_slice() {
        ["scrypt", n, r, p] => Ok(Encoded::Scrypt {
            cost: ScryptCost::of_n(number(n)?, number(r)?, number(p)?)?,
            salt,
            digest,
        }),
        ["pbkdf2", "sha1", rounds] => pbkdf2(Pbkdf2Hash::Sha1, number(rounds)?, salt, digest),
        ["pbkdf2", "sha256", rounds] => pbkdf2(Pbkdf2Hash::Sha256, number(rounds)?, salt, digest),
        ["pbkdf2", "sha512", rounds] => pbkdf2(Pbkdf2Hash::Sha512, number(rounds)?, salt, digest),
        _ => Err(Unusable::UnknownFormat),
    }
}

fn checked(digest: Vec<u8>) -> Result<Vec<u8>, Unusable> {
    match digest.len() {
        DIGEST_MIN..=DIGEST_MAX => Ok(digest),
        _ => Err(Unusable::Malformed),
    }
}

fn parts<const N: usize>(text: &str, separator: char) -> Result<[&str; N], Unusable> {
    // One more than wanted, so that too many are noticed.
    let found: Vec<&str> = text.splitn(N + 1, separator).collect();
    found.try_into().map_err(|_| Unusable::Malformed)
}

fn named(text: &str, name: &str) -> Result<u32, Unusable> {
    number(text.strip_prefix(name).ok_or(Unusable::Malformed)?)
}

fn number(text: &str) -> Result<u32, Unusable> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        text.parse().map_err(|_| Unusable::TooExpensive)
    } else {
        Err(Unusable::Malformed)
    }
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, Unusable> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        // `from_str_radix` would take a sign.
        let hex = pair.iter().all(u8::is_ascii_hexdigit);
        u8::from_str_radix(text, 16).ok().filter(|_| hex)
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|_| rest.is_empty()).ok_or(Unusable::Malformed)
}

/// Padding is optional and stray bits are ignored: other systems' encoders
/// differ there, and neither changes what the digest is.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

fn decode64(text: &str) -> Result<Vec<u8>, Unusable> {
    // passlib writes a dot for the plus.
    decode(&STANDARD, &text.replace('.', "+"))
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, Unusable> {
    engine.decode(text).map_err(|_| Unusable::Malformed)
}
