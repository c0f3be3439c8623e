//! What every parser must hold, as functions that its tests call with a real file and a way to list the values found.
//!
//! In: a sample file and `values`, which parses bytes and names each value it found. The damage is made here, by code:
//! cuts, bad numbers, CRLF, random bytes. Never part of a build. Next: the tests of each parser.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::parse::Key;

/// Name → value of everything that was found; what is absent has no entry.
pub type Values = BTreeMap<String, u64>;

/// The values of a table-driven struct, by the kernel's keys.
pub fn keyed<T>(table: &[Key<T>], mut parsed: T) -> Values {
    table
        .iter()
        .filter_map(|key| Some((String::from_utf8_lossy(key.name).into_owned(), (*(key.slot)(&mut parsed))?)))
        .collect()
}

/// Values from pairs.
pub fn named<N: Into<String>>(pairs: impl IntoIterator<Item = (N, Option<u64>)>) -> Values {
    pairs.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}

/// Every value in `found` is the one in `truth`.
fn assert_part_of(truth: &Values, found: &Values, what: &str) {
    for (name, value) in found {
        assert_eq!(truth.get(name), Some(value), "{name} is wrong, {what}");
    }
}

/// Cut at each byte, each value is the true one or absent; and the whole file has at least `least` values.
pub fn cut_anywhere_is_true_or_absent(sample: &[u8], least: usize, values: impl Fn(&[u8]) -> Values) {
    let truth = values(sample);
    assert!(truth.len() >= least, "only {} values: {truth:?}", truth.len());
    for length in 0..sample.len() {
        assert_part_of(&truth, &values(&sample[..length]), &format!("cut at byte {length}"));
    }
}

/// Each number in turn replaced by one that no counter can have: the value is absent, no other value is wrong, and the
/// file with CRLF ends says the same as without.
pub fn bad_numbers_are_absent(sample: &[u8], values: impl Fn(&[u8]) -> Values) {
    let truth = values(sample);
    let mut lost = std::collections::BTreeSet::new();
    let mut at = 0;
    while at < sample.len() {
        let digits = sample[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let starts = at == 0 || b" \t=:/\n".contains(&sample[at - 1]);
        if digits > 0 && starts {
            for bad in [&b"-1"[..], b"18446744073709551616", b"12x", b"", b"\xff\xfe", b"0x1f", b"-"] {
                let mut damaged = sample[..at].to_vec();
                damaged.extend_from_slice(bad);
                damaged.extend_from_slice(&sample[at + digits..]);
                let found = values(&damaged);
                if bad != b"" {
                    let what = format!("{:?} at byte {at}", String::from_utf8_lossy(bad));
                    assert_part_of(&truth, &found, &what);
                }
                lost.extend(truth.keys().filter(|name| !found.contains_key(*name)).cloned());
            }
        }
        at += digits.max(1);
    }
    assert_eq!(lost.len(), truth.len(), "a bad number was taken: lost only {lost:?} of {truth:?}");
    let mut crlf = Vec::new();
    for byte in sample {
        if *byte == b'\n' {
            crlf.push(b'\r');
        }
        crlf.push(*byte);
    }
    assert_eq!(values(&crlf), truth, "with CRLF");
}

/// Any bytes at all, and the sample with random bytes changed, are parsed without a panic.
pub fn any_bytes_are_survived(sample: &[u8], values: impl Fn(&[u8]) -> Values) {
    let random = proptest::collection::vec(any::<u8>(), 0..300);
    let texty = proptest::collection::vec(proptest::sample::select(b"09 -=:.,/()\n\r\tamx".to_vec()), 0..200);
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8);
    let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(random, texty, changes), |(random, texty, changes)| {
        values(&random);
        values(&texty);
        let mut changed = sample.to_vec();
        for (index, byte) in changes {
            if !changed.is_empty() {
                let at = index.index(changed.len());
                changed[at] = byte;
            }
        }
        values(&changed);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}
