//! placeholder
use pg::catalog::Catalog;
use pg::{Rows, SqlBuf};
use crate::config::Config;
pub(crate) fn statements(_schema: &str, _ignore: bool) -> Vec<SqlBuf> { Vec::new() }
pub(crate) fn document(_c: &Catalog, _config: &Config, _schema: &str, _answers: &[Rows]) -> Vec<u8> { b"{}".to_vec() }
