//! The command line: flags → configuration → role → exit code.

fn main() {}
