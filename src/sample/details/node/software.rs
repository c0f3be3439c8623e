//! Collectors of the kernel and the operating system: scheduler, open files, entropy, names, versions, SELinux.
//!
//! In: files of `/proc`, `os-release` and SELinux' files, uname(2). Out: their parts. Kernel documentation:
//! `Documentation/scheduler/sched-stats.rst`, `Documentation/admin-guide/sysctl/fs.rst` and `kernel.rst`, os-release(5).
//! Next: [`reader`](super::reader).

use super::source::{Missing, Source};
use super::{DetailRow, DetailValue, Found, Part};
use crate::kernel::proc::{parse_file_nr, parse_schedstat};
use crate::sample::os_release::{OsRelease, parse_os_release};

pub(super) fn schedstat(source: &mut Source) -> Result<Found, Missing> {
    let rows = parse_schedstat(source.proc("schedstat").ok_or(Missing)?).map(|line| {
        let mut row = DetailRow::default().with("cpu", line.cpu.to_string());
        row.put("running_nanos", line.running_nanos);
        row.put("waiting_nanos", line.waiting_nanos);
        row.put("timeslices", line.timeslices);
        row
    });
    Ok(vec![(Part::Schedstat, rows.collect())])
}

pub(super) fn filefd(source: &mut Source) -> Result<Found, Missing> {
    let file = parse_file_nr(source.proc("sys/fs/file-nr").ok_or(Missing)?);
    let mut row = DetailRow::default();
    row.put("allocated", file.allocated);
    row.put("maximum", file.maximum);
    Ok(vec![(Part::Filefd, vec![row])])
}

pub(super) fn entropy(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.proc.join("sys/kernel/random");
    let available = source.integer(&folder.join("entropy_avail")).ok_or(Missing)?;
    let mut row = DetailRow::default();
    row.put("entropy_avail", Some(available));
    row.put("poolsize", source.integer(&folder.join("poolsize")));
    Ok(vec![(Part::Entropy, vec![row])])
}

pub(super) fn uname(_: &mut Source) -> Result<Found, Missing> {
    let name = rustix::system::uname();
    let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
    let row = DetailRow::default()
        .with("sysname", word(name.sysname()))
        .with("release", word(name.release()))
        .with("version", word(name.version()))
        .with("machine", word(name.machine()))
        .with("nodename", word(name.nodename()))
        .with("domainname", word(name.domainname()));
    Ok(vec![(Part::Uname, vec![row])])
}

/// Labels and keys of os-release.
const OS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(super) fn os(source: &mut Source) -> Result<Found, Missing> {
    let mut text = None;
    for file in ["etc/os-release", "usr/lib/os-release"] {
        let path = source.root.join(file);
        text = text.or_else(|| source.text(&path));
    }
    let release = parse_os_release(&text.ok_or(Missing)?);
    let with = |row: DetailRow, (label, key): &(&'static str, &str)| row.with(label, word(&release, key));
    let info = OS.iter().fold(DetailRow::default(), with);
    let mut version = DetailRow::default()
        .with("id", word(&release, "ID"))
        .with("id_like", word(&release, "ID_LIKE"))
        .with("name", word(&release, "NAME"));
    version.put("version", leading_number(&word(&release, "VERSION_ID")));
    Ok(vec![(Part::Os, vec![info]), (Part::OsVersion, vec![version])])
}

fn word(release: &OsRelease, key: &str) -> String {
    release.get(key).cloned().unwrap_or_default()
}

/// `22.04.3` is 22.04, `12` is 12, `rolling` is nothing.
fn leading_number(version: &str) -> Option<DetailValue> {
    let mut points = 0;
    let end = version.find(|c: char| {
        points += u32::from(c == '.');
        !(c.is_ascii_digit() || (c == '.' && points == 1))
    });
    let number = version.get(..end.unwrap_or(version.len()))?;
    number.parse::<f64>().ok().map(DetailValue::Float)
}

/// Where SELinux' own filesystem is mounted it is enabled; its `enforce` is the mode.
pub(super) fn selinux(source: &mut Source) -> Result<Found, Missing> {
    let enforce = source.sys.join("fs/selinux/enforce");
    let mode = source.bytes(&enforce).and_then(|bytes| match bytes {
        b"0" => Some(0u64),
        b"1" => Some(1),
        _ => None,
    });
    let mut row = DetailRow::default();
    row.put("enabled", Some(u64::from(enforce.exists())));
    if enforce.exists() {
        row.put("current_mode", mode);
        let config = source.text(&source.root.join("etc/selinux/config")).unwrap_or_default();
        row.put("config_mode", config_mode(&config));
    }
    Ok(vec![(Part::Selinux, vec![row])])
}

fn config_mode(config: &str) -> Option<DetailValue> {
    match config.lines().find_map(|line| line.trim().strip_prefix("SELINUX="))?.trim() {
        "enforcing" => Some(DetailValue::Integer(1)),
        "permissive" => Some(DetailValue::Integer(0)),
        "disabled" => Some(DetailValue::Float(-1.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_first_two_numbers() {
        for (text, version) in [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("8.10.1", Some(8.10)),
            ("3.4beta", Some(3.4)),
            ("rolling", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(leading_number(text), version.map(DetailValue::Float), "{text}");
        }
    }

    #[test]
    fn the_configured_mode_is_a_number() {
        assert_eq!(config_mode("# x\n SELINUX=permissive\nSELINUXTYPE=targeted\n"), Some(DetailValue::Integer(0)));
        assert_eq!(config_mode("SELINUX=disabled"), Some(DetailValue::Float(-1.0)));
        assert_eq!(config_mode("SELINUXTYPE=targeted\n"), None);
    }
}
