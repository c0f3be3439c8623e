//! Small types that every folder shares: limits, error classes and instants.
//!
//! Nothing here reads, logs or knows about a kernel file. Base units (seconds, ratios) appear only in `view/`;
//! everywhere before it a number is the kernel's own integer and its name says the unit.

use std::fmt;

/// A kernel limit file's content: a number, or the kernel's word for "none".
///
/// cgroup v2 prints `max`; v1 prints `-1` (CPU quota) or a number near 2^63 (memory), which the parsers
/// turn into [`Limit::Unlimited`], so that no sentinel value travels further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No limit is set.
    Unlimited,
    /// The limit, in the unit of the file it came from.
    At(u64),
}

impl Limit {
    /// The number, or `None` when unlimited.
    #[must_use]
    pub const fn at(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::At(value) => Some(value),
        }
    }
}

/// What a failed kernel read means for the caller. Classified by errno only, never by message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// ENODEV, ENOENT, ESRCH: the cgroup or process has ended. Normal; forget it.
    Gone,
    /// EOPNOTSUPP, ENOSYS: this kernel or boot option does not offer it. Normal; ask seldom.
    Unsupported,
    /// EACCES, EPERM: needs a permission that `ringside doctor` names.
    Denied,
    /// EMFILE, ENFILE, ENOMEM: this process is at a limit. Shed and try again.
    Exhausted,
    /// The bytes did not have the file's format.
    Malformed,
    /// Anything else (EIO, …).
    Other,
}

impl ErrorClass {
    /// Every class, in the order of the exposition.
    pub const ALL: [Self; 6] =
        [Self::Gone, Self::Unsupported, Self::Denied, Self::Exhausted, Self::Malformed, Self::Other];

    /// Classifies a system call's error.
    #[must_use]
    pub fn of(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::NODEV | Errno::NOENT | Errno::SRCH => Self::Gone,
            Errno::OPNOTSUPP | Errno::NOSYS => Self::Unsupported,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Self::Exhausted,
            _ => Self::Other,
        }
    }

    /// The word used as a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Exhausted => "exhausted",
            Self::Malformed => "malformed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An instant on `CLOCK_MONOTONIC`, in nanoseconds. Rates and the order of samples come from this clock only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicNanos(pub u64);

impl MonotonicNanos {
    /// Nanoseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall-clock time in nanoseconds since 1970. Shown to people, never subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The wall clock.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Whole milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// Bytes of the kernel's (a name that somebody chose) as text that is safe to show: control characters and what is not
/// UTF-8 become `\xNN`, a backslash becomes `\\`.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    let mut utf8 = [0; 4];
                    push_hex(&mut text, control.encode_utf8(&mut utf8).as_bytes());
                }
                plain => text.push(plain),
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    use fmt::Write as _;
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_chose_cannot_control_a_terminal_or_break_a_line() {
        assert_eq!(printable(b"plain-name.scope"), "plain-name.scope");
        assert_eq!(printable(b"a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
        assert_eq!(printable(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(printable("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(printable(b"foo\\x2dbar"), "foo\\\\x2dbar");
    }

    #[test]
    fn errors_are_classified_by_errno() {
        use rustix::io::Errno;
        let classes = [
            (Errno::NODEV, ErrorClass::Gone),
            (Errno::NOENT, ErrorClass::Gone),
            (Errno::SRCH, ErrorClass::Gone),
            (Errno::OPNOTSUPP, ErrorClass::Unsupported),
            (Errno::ACCESS, ErrorClass::Denied),
            (Errno::MFILE, ErrorClass::Exhausted),
            (Errno::IO, ErrorClass::Other),
        ];
        for (errno, class) in classes {
            assert_eq!(ErrorClass::of(errno), class, "{errno:?}");
        }
    }
}
