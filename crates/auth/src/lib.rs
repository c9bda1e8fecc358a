//! The GoTrue dialect: who somebody is, and how they prove it.

pub mod password;
