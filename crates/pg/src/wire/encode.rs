//! What we say to the server. All values travel in text format.

use std::io;

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use crate::error::Error;
use crate::sql_buf::Param;

/// The formats of all parameters and of all results: text.
const TEXT: [i16; 1] = [0];

pub(crate) fn parse(out: &mut BytesMut, name: &str, sql: &str) -> Result<(), Error> {
    // No parameter types: the server infers them from where they stand.
    frontend::parse(name, sql, std::iter::empty(), out).map_err(|error| refused(&error))
}

pub(crate) fn describe(out: &mut BytesMut, name: &str) -> Result<(), Error> {
    frontend::describe(b'S', name, out).map_err(|error| refused(&error))
}

pub(crate) fn bind_execute(out: &mut BytesMut, name: &str, params: &[Param]) -> Result<(), Error> {
    let bound = frontend::bind(
        "",
        name,
        TEXT,
        params,
        |param, out| {
            Ok(match param {
                Some(text) => {
                    out.extend_from_slice(text.as_bytes());
                    IsNull::No
                }
                None => IsNull::Yes,
            })
        },
        TEXT,
        out,
    );
    match bound {
        Ok(()) => frontend::execute("", 0, out).map_err(|error| refused(&error)),
        Err(frontend::BindError::Serialization(error)) => Err(refused(&io::Error::other(error))),
        Err(frontend::BindError::Conversion(error)) => Err(refused(&io::Error::other(error))),
    }
}

pub(crate) fn simple_query(out: &mut BytesMut, sql: &str) -> Result<(), Error> {
    frontend::query(sql, out).map_err(|error| refused(&error))
}

pub(crate) fn close_statement(out: &mut BytesMut, name: &str) -> Result<(), Error> {
    frontend::close(b'S', name, out).map_err(|error| refused(&error))
}

pub(crate) fn sync(out: &mut BytesMut) {
    frontend::sync(out);
}

pub(crate) fn terminate(out: &mut BytesMut) {
    frontend::terminate(out);
}

/// Our own side cannot say it: a null byte in the text, too many parameters,
/// a value over the protocol's limit.
fn refused(error: &io::Error) -> Error {
    Error::protocol(format!("the statement cannot be sent: {error}"))
}
