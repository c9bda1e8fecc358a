//! The GoTrue dialect: who somebody is, and how they prove it.

pub mod limits;
pub mod mail;
pub mod password;
pub mod totp;
