//! Why an end will not speak with the other, by a name that is counted.

use std::fmt::Display;

use everpost_transport::hello::Refusal;
use everpost_transport::link::{AckError, Break, ResumeError};

pub(crate) trait Refused: Display {
    fn kind(&self) -> &'static str;
}

impl Refused for Refusal {
    fn kind(&self) -> &'static str {
        match self {
            Self::OldRun { .. } => "OldRun",
            Self::Clone { .. } => "Clone",
            Self::Overlap { .. } => "Overlap",
            Self::OtherNode { .. } => "OtherNode",
            Self::OurStore => "OurStore",
            other => unreachable!("all nodes are configured alike: {other}"),
        }
    }
}

impl Refused for ResumeError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Rewound { .. } => "Rewound",
            Self::Unknown { .. } => "Unknown",
            other => unreachable!("there is no other: {other}"),
        }
    }
}

impl Refused for Break {
    fn kind(&self) -> &'static str {
        "Break"
    }
}

impl Refused for AckError {
    fn kind(&self) -> &'static str {
        "AckError"
    }
}
