//! The GoTrue dialect: who somebody is, and how they prove it.

pub mod captcha;
pub mod hook;
pub mod inbox;
pub mod limits;
pub mod mail;
pub mod outbound;
pub mod password;
#[cfg(test)]
mod testing;
pub mod totp;
