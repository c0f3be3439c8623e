//! Holds the picture of `ARCHITECTURE.md` against the code: which folder may use which, how long a file may be, and
//! that every file says first what it is for.
//!
//! In: every `.rs` file below `src/`, as text. Out: one line per violation. Test modules are held to the same rules.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder and what it may use; the twin of the table in `ARCHITECTURE.md`. Folders may always use themselves.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("units", &[]),
    ("discover", &["units"]),
    ("kernel", &["units"]),
    ("sample", &["units", "discover", "kernel"]),
    ("store", &["units", "sample"]),
    ("auth", &["units"]),
    ("uplink", &["units", "sample", "store", "auth"]),
    ("view", &["units", "sample", "store", "auth"]),
];

/// Top-level files that stand beside the folders and put them together: they may use any folder, and no folder them.
const BESIDE: [&str; 7] = ["main", "lib", "agent", "aggregator", "config", "doctor", "logging"];

/// About 500 lines are the aim; this is where it stops being "about".
const LONGEST: usize = 600;

fn source_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The folder (or top-level file) that a path below `src/` belongs to.
fn layer_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The text without comments, with strings emptied, so that only code is left.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string_end(rest),
            'r' if is_raw_string(rest) && !ends_in_word(&code) => raw_string_end(rest),
            // A quote or backslash as a character is not the start of anything.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\") => {
                rest[2..].find('\'').map_or(rest.len(), |end| if end == 0 { 4 } else { end + 3 })
            }
            _ => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        code.push(' ');
        rest = &rest[skipped.min(rest.len())..];
    }
    code
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

fn is_raw_string(text: &str) -> bool {
    text[1..].trim_start_matches('#').starts_with('"')
}

fn ends_in_word(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn raw_string_end(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let close = format!("\"{}", "#".repeat(hashes));
    text[hashes + 2..].find(&close).map_or(text.len(), |end| hashes + 2 + end + close.len())
}

/// Every module that the code names at the top of this crate: `crate::x`, `ringside::x`, `super::…::x` above a folder's
/// root, and each of `crate::{x, y::z}`. `depth` is how many `super::` lead from this file to the crate's root.
fn layers_used(code: &str, depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    for root in ["crate", "ringside"] {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            let after = code[at + root.len()..].trim_start();
            let Some(path) = after.strip_prefix("::") else { continue };
            if ends_in_word(before) || before.ends_with('$') {
                continue;
            }
            used.extend(first_segments(path));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if ends_in_word(&code[..at]) || code[..at].trim_end().ends_with("super::") {
            continue;
        }
        let mut path = &code[at..];
        let mut up = 0;
        while let Some(rest) = path.strip_prefix("super::") {
            path = rest;
            up += 1;
        }
        if up >= depth {
            used.extend(first_segments(path));
        }
    }
    used
}

/// The first names of a path or of a group in braces.
fn first_segments(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        return if name.is_empty() { Vec::new() } else { vec![name] };
    };
    let mut level = 0;
    let mut segments = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => segments.push(String::new()),
            _ if level == 0 => segments.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    segments.iter().flat_map(|segment| first_segments(segment)).collect()
}

/// All that is wrong with one file; `path` is below `src/`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//! ") {
        wrong.push(format!("src/{path}: does not begin with `//! ` and what it is for"));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        wrong.push(format!("src/{path}: {lines} lines are more than {LONGEST}; split it by what it does"));
    }
    let layer = layer_of(path);
    if BESIDE.contains(&layer) {
        return wrong;
    }
    let table: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let Some(may_use) = table.get(layer) else {
        wrong.push(format!("src/{path}: `{layer}` is neither in the table of ARCHITECTURE.md nor a file beside it"));
        return wrong;
    };
    // `src/view/mod.rs` is one `super::` below the root, `src/view/top/frame.rs` is three; a `mod tests` inside adds one,
    // which makes its paths seem to end lower than they do: those are then names of the folder itself.
    let directories = path.matches('/').count();
    let depth = if path.ends_with("/mod.rs") { directories } else { directories + 1 };
    for used in layers_used(&code_only(text), depth) {
        let known = table.contains_key(used.as_str()) || BESIDE.contains(&used.as_str());
        if known && used != layer && !may_use.contains(&used.as_str()) {
            wrong.push(format!("src/{path}: `{layer}` uses `{used}`, and may use only {may_use:?}"));
        }
    }
    wrong.dedup();
    wrong
}

#[test]
fn no_folder_uses_what_it_may_not_and_every_file_is_short_and_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    assert!(files.len() > 10, "found only {} files in {}", files.len(), root.display());
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        wrong.extend(violations(path, &fs::read_to_string(&file).unwrap()));
    }
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_is_the_one_of_the_architecture_page() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (folder, may_use) in MAY_USE.iter().filter(|(folder, _)| *folder != "units") {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{folder}/`"))).unwrap_or_default();
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let words: Vec<&str> = last.trim().split([' ', '`', ',']).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, *may_use, "row of `{folder}/` in ARCHITECTURE.md");
    }
}

/// What the checker says about one file with this code.
fn said(path: &str, code: &str) -> Vec<String> {
    violations(path, &format!("//! For a test.\n{code}"))
}

#[test]
fn a_view_that_reads_the_kernel_is_found_in_every_spelling() {
    let want = ["src/view/x.rs: `view` uses `kernel`, and may use only [\"units\", \"sample\", \"store\", \"auth\"]"];
    for code in [
        "use crate::kernel::CpuStat;",
        "use crate::{store::Store, kernel::{a, b}};",
        "use crate::{\n    units,\n    kernel,\n};",
        "fn f() { let x = crate::kernel::f(); }",
        "fn f() { let x = crate :: kernel::f(); }",
        "use super::super::kernel::CpuStat;",
        "pub(crate) use crate::kernel as k;",
        "mod tests { use ringside::kernel::CpuStat; }",
        "const A: &str = \"\\\\\"; use crate::kernel::CpuStat; const B: &str = \"\";",
        "const A: char = '\"'; use crate::kernel::CpuStat; // \"",
        "const A: &str = r#\"a\"b\"#; use crate::kernel::CpuStat;",
        "const A: char = '\\''; use crate::kernel::CpuStat; const B: char = '\\\\';",
    ] {
        assert_eq!(said("view/x.rs", code), want, "{code}");
    }
}

#[test]
fn what_may_be_used_and_what_is_no_use_at_all_is_let_pass() {
    for code in [
        "use crate::store::Store; use crate::units::Limit; use crate::sample::row::Row; use crate::view::Answer;",
        "// use crate::kernel::CpuStat;",
        "/// See [`crate::kernel`].\nfn f() {}",
        "/* crate::kernel */",
        "const A: &str = \"crate::kernel\";",
        "const A: &str = r\"crate::kernel\";",
        "use super::kernel; use other_crate::kernel; use kernel_of::x; macro_rules! m { () => { $crate::kernel } }",
        "pub(crate) fn f<'a>(x: &'a str) -> &'a str { x }",
    ] {
        assert_eq!(said("view/x.rs", code), [""; 0], "{code}");
    }
}

#[test]
fn folders_may_not_use_the_files_beside_them_and_those_may_use_all() {
    assert_eq!(said("discover/mod.rs", "use crate::config::AgentConfig;").len(), 1);
    assert_eq!(said("units.rs", "use crate::sample::NodeSample;").len(), 1);
    assert_eq!(said("kernel/a/b.rs", "use super::super::super::sample::NodeSample;").len(), 1);
    assert_eq!(said("discover/mod.rs", "use super::kernel::x;").len(), 1);
    assert_eq!(said("agent.rs", "use crate::{kernel, view}; use crate::config::X;"), [""; 0]);
    assert_eq!(said("doctor/host.rs", "use crate::sample::MachineFacts;"), [""; 0]);
}

#[test]
fn a_folder_that_is_not_in_the_picture_is_found() {
    assert!(said("helpers/mod.rs", "")[0].contains("neither in the table"));
}

#[test]
fn long_files_and_files_without_a_header_are_found() {
    assert!(said("view/x.rs", &"\n".repeat(LONGEST))[0].contains("601 lines are more than 600"));
    assert_eq!(said("view/x.rs", &"\n".repeat(LONGEST - 1)), [""; 0]);
    assert!(violations("view/x.rs", "use crate::units;\n")[0].contains("does not begin with"));
    assert!(violations("view/x.rs", "/// On the wrong thing.\nmod a;\n")[0].contains("does not begin with"));
}
