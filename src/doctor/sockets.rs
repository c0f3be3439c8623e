//! Checks of sockets: container runtimes that tell names, and the port that the agent serves on.
//!
//! Each question runs in a thread of its own and is given up after 2 s, so that a runtime that hangs costs that long
//! and no more.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::{Finding, State};
use crate::config::SocketChoice;

const PATIENCE: Duration = Duration::from_secs(2);

/// What is spoken on a runtime's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Docker's API, which Podman has too: it is asked `GET /_ping`.
    Http,
    /// CRI: a connection is enough of an answer.
    Grpc,
}

/// How one socket answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    Absent,
    Denied,
    Refused(String),
    Silent,
}

pub(super) fn cri(choices: &[SocketChoice], paths: &[PathBuf]) -> Finding {
    let choice = choices.first().cloned().unwrap_or(SocketChoice::Off);
    runtime("cri-socket", &choice, paths, Speaks::Grpc)
}

/// Judges all places of one kind of runtime: one that answers is enough where nothing else was asked for.
pub(super) fn runtime(name: &'static str, choice: &SocketChoice, paths: &[PathBuf], speaks: Speaks) -> Finding {
    const COST: &str = "containers of this runtime show their cgroup path instead of names, images and labels";
    if paths.is_empty() {
        return Finding::ok(name, "not to be asked (none)");
    }
    let answers: Vec<(&Path, Answer)> = paths.iter().map(|path| (path.as_path(), ask(path, speaks))).collect();
    let wrong = answers.iter().find(|(_, answer)| !matches!(answer, Answer::Yes | Answer::Absent));
    if let Some((path, answer)) = wrong {
        let (seen, cure) = match answer {
            Answer::Denied => (
                "not permitted".to_owned(),
                "run the agent in the group that owns the socket, or switch it off with none",
            ),
            Answer::Silent => {
                ("no answer within 2 s".to_owned(), "see why the runtime hangs; the agent goes on without it")
            }
            Answer::Refused(why) => (why.clone(), "start the runtime, or remove the socket that it left behind"),
            Answer::Yes | Answer::Absent => (String::new(), ""),
        };
        return Finding::of(name, State::Limited, format!("{}: {seen}", path.display()), COST, cure);
    }
    let shown = |want: &Answer| {
        let paths = answers.iter().filter(|(_, answer)| answer == want).map(|(path, _)| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    };
    let asked_for = *choice != SocketChoice::Auto;
    let absent = shown(&Answer::Absent);
    if asked_for && !absent.is_empty() {
        let cure = "correct the path, start the runtime, or mount its socket into the agent's container";
        return Finding::of(name, State::Missing, format!("no socket at {absent}"), COST, cure);
    }
    let answering = shown(&Answer::Yes);
    if answering.is_empty() {
        return Finding::ok(name, format!("no such runtime here: no socket at {absent}"));
    }
    Finding::ok(name, format!("{answering} answers"))
}

fn ask(path: &Path, speaks: Speaks) -> Answer {
    let (tell, told) = mpsc::channel();
    let path = path.to_owned();
    // A connection to a full backlog blocks without end; the thread ends with the process.
    std::thread::spawn(move || {
        let _ = tell.send(ask_patiently(&path, speaks));
    });
    told.recv_timeout(PATIENCE).unwrap_or(Answer::Silent)
}

fn ask_patiently(path: &Path, speaks: Speaks) -> Answer {
    let asked = UnixStream::connect(path).and_then(|mut stream| match speaks {
        Speaks::Grpc => Ok(Answer::Yes),
        Speaks::Http => {
            stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut start = [0; 12];
            stream.read_exact(&mut start)?;
            Ok(if start.starts_with(b"HTTP/1.") {
                Answer::Yes
            } else {
                Answer::Refused("it does not speak HTTP".into())
            })
        }
    });
    asked.unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => Answer::Absent,
        ErrorKind::PermissionDenied => Answer::Denied,
        _ => Answer::Refused(error.to_string()),
    })
}

pub(super) fn listen(address: SocketAddr, insecure: bool) -> Finding {
    const NAME: &str = "listen";
    const COST: &str = "the agent cannot serve anything";
    let error = match TcpListener::bind(address) {
        Ok(_) if insecure => {
            let cost = "whoever reaches this address reads every workload's names and counters";
            let seen = format!("{address} is free; plain HTTP, open to other machines");
            return Finding::of(
                NAME,
                State::Limited,
                seen,
                cost,
                "restrict who can reach it, or serve on loopback only",
            );
        }
        Ok(_) => return Finding::ok(NAME, format!("{address} is free")),
        Err(error) => error,
    };
    let (seen, cure) = match error.kind() {
        ErrorKind::AddrInUse if agent_answers(address) => {
            return Finding::ok(NAME, format!("{address} is in use; an agent answers there on /livez"));
        }
        ErrorKind::AddrInUse => {
            let other = address.port().checked_add(1).unwrap_or(9750);
            ("in use by another program", format!("stop it, or give another port by --listen, for example {other}"))
        }
        ErrorKind::AddrNotAvailable => ("no interface has this address", "give an address of this machine".to_owned()),
        ErrorKind::PermissionDenied => ("not permitted", "give a port from 1024 up".to_owned()),
        _ => ("not usable", "give another address by --listen".to_owned()),
    };
    Finding::of(NAME, State::Failed, format!("{address}: {seen} ({error})"), COST, cure)
}

/// Whether an agent serves there.
pub(super) fn agent_answers(address: SocketAddr) -> bool {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(asks_livez(address).unwrap_or(false));
    });
    told.recv_timeout(PATIENCE).unwrap_or(false)
}

fn asks_livez(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(start.starts_with(b"HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn at(path: &Path, speaks: Speaks) -> Finding {
        runtime("docker-socket", &SocketChoice::At(path.to_owned()), &[path.to_owned()], speaks)
    }

    /// Answers one connection with these bytes, after reading the request.
    fn answering(path: &Path, answer: &'static [u8]) {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(answer);
        });
    }

    #[test]
    fn a_socket_that_was_asked_for_and_is_not_there_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let finding = at(&path, Speaks::Http);
        assert_eq!(finding.state, State::Missing);
        assert!(finding.seen.contains(path.to_str().unwrap()) && finding.cure.is_some());
    }

    #[test]
    fn a_runtime_that_is_not_on_this_node_is_nothing_to_cure() {
        let dir = tempfile::tempdir().unwrap();
        let finding = runtime("docker-socket", &SocketChoice::Auto, &[dir.path().join("d.sock")], Speaks::Http);
        assert_eq!((finding.state, finding.cure), (State::Ok, None));
        assert_eq!(runtime("docker-socket", &SocketChoice::Off, &[], Speaks::Http).state, State::Ok);
    }

    #[test]
    fn a_runtime_that_answers_is_ok_and_one_that_speaks_otherwise_is_limited() {
        let dir = tempfile::tempdir().unwrap();
        answering(&dir.path().join("a"), b"HTTP/1.0 200 OK\r\n\r\nOK");
        assert_eq!(at(&dir.path().join("a"), Speaks::Http).state, State::Ok);
        answering(&dir.path().join("b"), b"SSH-2.0-OpenSSH");
        assert_eq!(at(&dir.path().join("b"), Speaks::Http).state, State::Limited);
    }

    #[test]
    fn a_socket_that_nobody_serves_is_told_with_the_systems_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead");
        drop(UnixListener::bind(&path).unwrap());
        let finding = at(&path, Speaks::Grpc);
        assert_eq!(finding.state, State::Limited);
        assert!(finding.seen.contains("refused"), "{}", finding.seen);
    }

    #[test]
    fn a_runtime_that_hangs_is_given_up_after_two_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mute");
        let _mute = UnixListener::bind(&path).unwrap();
        let began = std::time::Instant::now();
        let finding = at(&path, Speaks::Http);
        assert!(finding.seen.contains("no answer within 2 s"), "{}", finding.seen);
        assert!(began.elapsed() < PATIENCE * 3);
    }

    #[test]
    fn a_free_port_is_ok_and_a_port_of_another_program_fails() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in taken.incoming().flatten().take(1) {
                let _ = (&stream).write_all(b"220 mail ready\r\n");
            }
        });
        let finding = listen(address, false);
        assert_eq!(finding.state, State::Failed);
        assert!(finding.cure.unwrap().contains("--listen"));
        assert_eq!(listen("127.0.0.1:0".parse().unwrap(), false).state, State::Ok);
        assert_eq!(listen("0.0.0.0:0".parse().unwrap(), true).state, State::Limited);
    }

    #[test]
    fn an_agent_that_runs_already_is_known_by_livez() {
        let agent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = agent.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in agent.incoming().flatten().take(1) {
                let _ = stream.read(&mut [0; 256]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        assert_eq!(listen(address, false).state, State::Ok);
    }
}
