//! General compressors: zstd, lz4, gzip, and pco for numbers.
//!
//! In: series. Out: lines for each compressor on raw columns (eight bytes a number) and on columns of differences
//! (varints, zigzag), in blocks that a ring could use (one subject, 120 ticks) and in one piece, which nobody could read a
//! part of. Lengths and times are not stored at all.

use std::io::{Read as _, Write as _};

use super::{Line, Series, timed};
use crate::trace::columns;

/// Ticks in a block of a ring.
const BLOCK_TICKS: usize = 120;

type Encode = fn(&[u8]) -> Option<Vec<u8>>;
type Decode = fn(&[u8], usize) -> Option<Vec<u8>>;

const COMPRESSORS: [(&str, Encode, Decode); 4] = [
    (
        "zstd -3",
        |bytes| zstd::bulk::compress(bytes, 3).ok(),
        |bytes, length| zstd::bulk::decompress(bytes, length).ok(),
    ),
    (
        "zstd -19",
        |bytes| zstd::bulk::compress(bytes, 19).ok(),
        |bytes, length| zstd::bulk::decompress(bytes, length).ok(),
    ),
    (
        "lz4",
        |bytes| Some(lz4_flex::block::compress(bytes)),
        |bytes, length| lz4_flex::block::decompress(bytes, length).ok(),
    ),
    ("gzip -6", gzip, gunzip),
];

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn gunzip(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(length);
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded).ok()?;
    Some(decoded)
}

/// Columns that are compressed together.
type Piece<'a> = Vec<&'a [u64]>;

/// One piece for each subject and 120 ticks.
fn blocks(all: &[Series]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for of_subject in all.chunk_by(|one, other| one.subject == other.subject) {
        let last = of_subject.iter().filter_map(|series| series.ticks.last()).max().copied().unwrap_or(0);
        for begin in (0..=last).step_by(BLOCK_TICKS) {
            let part = |series: &Series| {
                let at = |tick| series.ticks.partition_point(|known| *known < tick);
                at(begin)..at(begin + BLOCK_TICKS)
            };
            let columns = of_subject.iter().filter_map(|series| series.values.get(part(series)));
            pieces.push(columns.filter(|column| !column.is_empty()).collect());
        }
    }
    pieces
}

fn raw(piece: &Piece<'_>) -> Vec<u8> {
    piece.iter().flat_map(|column| column.iter()).flat_map(|value| value.to_le_bytes()).collect()
}

fn from_raw(bytes: &[u8], _: &Piece<'_>) -> Option<Vec<u64>> {
    let (values, rest) = bytes.as_chunks();
    rest.is_empty().then(|| values.iter().map(|value| u64::from_le_bytes(*value)).collect())
}

fn differences(piece: &Piece<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for column in piece {
        columns::put_plain(&mut bytes, columns::steps(column.iter().copied()).map(i64::cast_unsigned));
    }
    bytes
}

fn from_differences(bytes: &[u8], piece: &Piece<'_>) -> Option<Vec<u64>> {
    let mut reader = columns::Reader::new(bytes);
    let mut values = Vec::new();
    for column in piece {
        let mut last = 0_u64;
        for _ in 0..column.len() {
            last = last.wrapping_add(reader.step()?);
            values.push(last);
        }
    }
    Some(values)
}

/// Columns to bytes, and back.
type Layout = (&'static str, fn(&Piece<'_>) -> Vec<u8>, fn(&[u8], &Piece<'_>) -> Option<Vec<u64>>);
const LAYOUTS: [Layout; 2] = [("raw", raw, from_raw), ("differences", differences, from_differences)];

fn values(piece: &Piece<'_>) -> Vec<u64> {
    piece.concat()
}

/// All compressors. A line is missing where something was not given back as it was.
pub fn measure(all: &[Series]) -> Vec<Line> {
    let samples = all.iter().map(|series| series.values.len()).sum();
    let whole: Vec<Piece<'_>> = vec![all.iter().map(|series| series.values.as_slice()).collect()];
    let mut lines = Vec::new();
    for (unit, pieces) in [("blocks of 120 ticks", blocks(all)), ("one piece", whole)] {
        for (layout, to_bytes, from_bytes) in LAYOUTS {
            for (compressor, encode, decode) in COMPRESSORS {
                let name = format!("{compressor}, {layout}, {unit}");
                let compress = |piece: &Piece<'_>| {
                    let bytes = to_bytes(piece);
                    Some((encode(&bytes)?, bytes.len()))
                };
                let expand = |((bytes, length), piece): (&(Vec<u8>, usize), &Piece<'_>)| {
                    from_bytes(&decode(bytes, *length)?, piece)
                };
                lines.extend(line(name, samples, &pieces, compress, expand, |(bytes, _)| bytes.len()));
            }
        }
        // pco takes one column at a time; it finds differences and divisors by itself.
        let config = pco::ChunkConfig::default();
        let compress = |piece: &Piece<'_>| {
            let column = |column: &&[u64]| pco::standalone::simple_compress(column, &config).ok();
            piece.iter().map(column).collect::<Option<Vec<Vec<u8>>>>()
        };
        let expand = |(columns, _): (&Vec<Vec<u8>>, &Piece<'_>)| {
            let column = |bytes: &Vec<u8>| pco::standalone::simple_decompress::<u64>(bytes).ok();
            columns.iter().map(column).collect::<Option<Vec<Vec<u64>>>>().map(|columns| columns.concat())
        };
        let size = |columns: &Vec<Vec<u8>>| columns.iter().map(Vec::len).sum();
        lines.extend(line(format!("pco -8, by column, {unit}"), samples, &pieces, compress, expand, size));
    }
    lines
}

fn line<C>(
    name: String,
    samples: usize,
    pieces: &[Piece<'_>],
    compress: impl Fn(&Piece<'_>) -> Option<C>,
    expand: impl Fn((&C, &Piece<'_>)) -> Option<Vec<u64>>,
    size: impl Fn(&C) -> usize,
) -> Option<Line> {
    let (compressed, encode) = timed(|| pieces.iter().map(compress).collect::<Option<Vec<C>>>());
    let compressed = compressed?;
    let (expanded, decode) = timed(|| compressed.iter().zip(pieces).map(expand).collect::<Option<Vec<Vec<u64>>>>());
    let same = expanded?.iter().zip(pieces).all(|(expanded, piece)| *expanded == values(piece));
    let bytes = compressed.iter().map(size).sum();
    same.then_some(Line { name, bytes, samples, encode: Some(encode), decode: Some(decode) })
}
