//! Moving in from GoTrue and out again.
