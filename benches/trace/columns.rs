//! Columns of integers as bytes: varints, steps with their common divisor removed, runs of states.
//!
//! In: numbers or cells. Out: bytes; and back, `None` where the bytes end or make no sense. Nothing is allocated by a
//! length that the bytes declare: every number that is read takes at least one byte, or belongs to a row that exists.

use ringside::sample::row::Cell;

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was offered.
    Absent,
    /// A number.
    Value,
    /// A limit that is not set.
    Unlimited,
}

impl State {
    const ALL: [Self; 3] = [Self::Absent, Self::Value, Self::Unlimited];

    const fn of(cell: Cell) -> Self {
        match cell {
            Cell::Absent => Self::Absent,
            Cell::Value(_) => Self::Value,
            Cell::Unlimited => Self::Unlimited,
        }
    }
}

/// A length as it is written.
pub fn wide(length: usize) -> u64 {
    length as u64
}

/// Appends a varint.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

const fn zigzag(step: i64) -> u64 {
    (step.cast_unsigned() << 1) ^ (step >> 63).cast_unsigned()
}

const fn unzigzag(coded: u64) -> u64 {
    (coded >> 1) ^ (coded & 1).wrapping_neg()
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Appends numbers that differ by little from 0, wrapping.
pub fn put_plain(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    numbers.for_each(|number| put(out, zigzag(number.cast_signed())));
}

/// The steps from number to number, wrapping.
pub fn steps(numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = i64> {
    let mut last = 0_u64;
    numbers.map(move |number| {
        let step = number.wrapping_sub(last).cast_signed();
        last = number;
        step
    })
}

/// Appends a column of values.
pub fn put_values(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut steps = steps(numbers);
    let Some(first) = steps.next() else { return };
    put(out, first.cast_unsigned());
    let steps: Vec<i64> = steps.collect();
    let divisor = steps.iter().fold(0, |divisor, step| gcd(divisor, step.unsigned_abs()));
    // 2^63 divides only itself, and is no i64.
    let divisor = i64::try_from(divisor).unwrap_or(1);
    put(out, divisor.cast_unsigned());
    if divisor != 0 {
        steps.iter().for_each(|step| put(out, zigzag(step.wrapping_div(divisor))));
    }
}

/// Appends a column of cells.
pub fn put_cells(out: &mut Vec<u8>, cells: impl Iterator<Item = Cell> + Clone) {
    let mut states = cells.clone().map(State::of).peekable();
    while let Some(state) = states.next() {
        let mut run = 1;
        while states.next_if_eq(&state).is_some() {
            run += 1;
        }
        put(out, run << 2 | state as u64);
    }
    put_values(out, cells.filter_map(Cell::value));
}

/// Reads the bytes one number after the other.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// So many bytes as they are.
    pub fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A varint.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// One number of [`put_plain`].
    pub fn step(&mut self) -> Option<u64> {
        self.number().map(unzigzag)
    }

    /// A column of values.
    pub fn values(&mut self, count: usize) -> Option<Vec<u64>> {
        let mut values = Vec::new();
        if count == 0 {
            return Some(values);
        }
        let mut last = self.number()?;
        let divisor = self.number()?;
        // A column that stands still is short in the file and long in memory; its length is held against a real one.
        if divisor == 0 && count > super::MOST_ROWS {
            return None;
        }
        values.push(last);
        for _ in 1..count {
            if divisor != 0 {
                last = last.wrapping_add(self.step()?.wrapping_mul(divisor));
            }
            values.push(last);
        }
        Some(values)
    }

    /// A column of cells: the state of each, and the values of those that have one.
    pub fn cells(&mut self, count: usize) -> Option<(Vec<State>, Vec<u64>)> {
        let mut states = Vec::new();
        while states.len() < count {
            let coded = self.number()?;
            let state = State::ALL.into_iter().find(|state| *state as u64 == coded & 3)?;
            let run = usize::try_from(coded >> 2).ok().filter(|run| (1..=count - states.len()).contains(run))?;
            states.resize(states.len() + run, state);
        }
        let present = states.iter().filter(|state| **state == State::Value).count();
        let values = self.values(present)?;
        Some((states, values))
    }
}
