//! What ends the program early: one line for people, and an exit code for scripts.

use std::fmt;

use everpost::StartError;

/// Why the program ends without figures.
#[derive(Debug)]
pub struct Problem {
    message: String,
    /// 2: the call or its surroundings can be changed so that it works. 1: something failed on the way. 130:
    /// interrupted.
    pub exit_code: u8,
}

impl Problem {
    /// Something about the call, the files, the folders or the network.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit_code: 2 }
    }

    /// Something that should not happen.
    pub fn failure(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit_code: 1 }
    }

    /// A signal asked the program to end before it was done.
    pub fn interrupted() -> Self {
        Self { message: "interrupted; start it again and it goes on where it was".to_owned(), exit_code: 130 }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        Self::usage(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message.replace('\n', " "))
    }
}
