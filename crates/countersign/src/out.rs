//! Printing for the command line, in one place: a reader that has seen enough (`countersign agent list | head -1`) is no error of ours.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};

/// What a program that a closed pipe ended leaves behind: 128 and the number of SIGPIPE.
const PIPE_CLOSED: i32 = 141;

/// One line to standard output. Where nobody reads any more the program ends quietly; any other failure is told, as what was asked for is lost.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(PIPE_CLOSED);
    }
    note(format_args!(
        "error: standard output cannot be written: {error}\n  remedy: free space, or write elsewhere"
    ));
    std::process::exit(1);
}

/// One line to standard error, best effort: where that is gone there is nobody left to tell.
pub(crate) fn note(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// As `println!`, through [`line`].
macro_rules! say {
    () => { $crate::out::line(format_args!("")) };
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}

/// As `eprintln!`, through [`note`].
macro_rules! complain {
    ($($text:tt)*) => { $crate::out::note(format_args!($($text)*)) };
}

pub(crate) use {complain, say};
