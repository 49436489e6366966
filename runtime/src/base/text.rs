//! Texts of errors, shortened.

use std::fmt;

/// How many bytes of an error are kept.
const ERROR_BYTES_MAX: usize = 4096;

/// An error as the log shows it: it comes from anywhere and may be of any length, and is shortened as the store does
/// it.
pub(crate) fn brief(error: &dyn fmt::Display) -> String {
    shortened(error.to_string())
}

/// An error comes from anywhere and may be of any length; its record must not.
pub(crate) fn shortened(mut error: String) -> String {
    if error.len() > ERROR_BYTES_MAX {
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        error.push_str(" ...");
    }
    error
}
