//! The kernel's list of sockets over netlink, of one network namespace at a time.
//!
//! In: a network namespace. Out: each TCP or UDP socket's state and queues. Source: sock_diag(7),
//! `include/uapi/linux/inet_diag.h`. A netlink socket belongs to the namespace in which it was made, so that a thread enters
//! the namespace, makes the socket and ends; nothing else of the agent is ever in another namespace. Entering takes
//! `CAP_SYS_ADMIN`. The kernel walks its table of all connections for each list: never in the tick. Next: the socket reader
//! of `sample/details/`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::thread::LinkNameSpaceType;

use super::parse::Malformed;
use crate::units::ErrorClass;

/// `SOCK_DIAG_BY_FAMILY`, and the messages that end a list.
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP_FLAGS: u16 = 0x301;

const HEADER_BYTES: usize = 16;
const SOCKET_BYTES: usize = 72;

/// Every state but the one of sockets that were only bound, which no list of `/proc` has either.
const STATES: u32 = 0x1ffe;

/// `INET_DIAG_SKMEMINFO`, and where the drops stand in it (`SK_MEMINFO_DROPS`).
const SKMEMINFO: u16 = 7;
const DROPS_AT: usize = 8;

/// The kernel fills at most this much at once.
const BUFFER_BYTES: usize = 32 << 10;

/// The answer is made while it is read; this is for a kernel that never comes back with the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Address family, as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 2,
    /// IPv6, sockets that take both included.
    V6 = 10,
}

/// Protocol, as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiagSocket {
    /// The kernel's number of its state (`include/net/tcp_states.h`).
    pub state: u8,
    /// Bytes that wait to be read; for a listening socket connections that wait to be accepted. Gauge.
    pub receive_queue: u32,
    /// Bytes that wait to be sent; for a listening socket the most that may wait. Gauge.
    pub send_queue: u32,
    /// Datagrams dropped since the socket was made; `None` when the kernel does not say.
    pub drops: Option<u32>,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// More is to be read.
    Goes,
    /// The list is complete.
    Ends,
    /// The kernel refuses with this error number.
    Refused(i32),
}

/// The question for all sockets of a family and protocol.
#[must_use]
pub fn request(family: Family, protocol: Protocol) -> [u8; 72] {
    let mut bytes = [0u8; 72];
    // UDP's drops are in the memory information only.
    let extensions = if protocol == Protocol::Udp { 1 << (SKMEMINFO - 1) } else { 0u8 };
    let parts: [&[u8]; 6] = [
        &72u32.to_ne_bytes(),
        &BY_FAMILY.to_ne_bytes(),
        &DUMP_FLAGS.to_ne_bytes(),
        &[0; 8],
        &[family as u8, protocol as u8, extensions, 0],
        &STATES.to_ne_bytes(),
    ];
    for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    bytes
}

/// Takes the sockets out of one piece of an answer.
///
/// # Errors
/// [`Malformed`] when a message is longer than the piece or shorter than its kind.
pub fn parse_answer(piece: &[u8], mut each: impl FnMut(DiagSocket)) -> Result<Answer, Malformed> {
    let mut rest = piece;
    while !rest.is_empty() {
        let length = usize::try_from(word(rest, 0)?).map_err(|_| Malformed)?;
        let kind = half(rest, 4)?;
        let body = rest.get(HEADER_BYTES..length).ok_or(Malformed)?;
        match kind {
            BY_FAMILY => each(socket(body)?),
            DONE | ERROR => {
                let code = i32::from_ne_bytes(word(body, 0)?.to_ne_bytes());
                return Ok(if code == 0 { Answer::Ends } else { Answer::Refused(code.saturating_neg()) });
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(Answer::Goes)
}

fn socket(body: &[u8]) -> Result<DiagSocket, Malformed> {
    let attributes = body.get(SOCKET_BYTES..).ok_or(Malformed)?;
    let state = *body.get(1).ok_or(Malformed)?;
    Ok(DiagSocket { state, receive_queue: word(body, 56)?, send_queue: word(body, 60)?, drops: drops(attributes) })
}

fn drops(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(half(attributes, 0).ok()?);
        let value = attributes.get(4..length)?;
        if half(attributes, 2).ok()? == SKMEMINFO {
            return word(value, DROPS_AT * 4).ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|chunk| u16::from_ne_bytes(*chunk)).ok_or(Malformed)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|chunk| u32::from_ne_bytes(*chunk)).ok_or(Malformed)
}

/// A netlink socket that asks in one network namespace.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
}

impl SockDiag {
    /// Asks in this thread's own namespace.
    ///
    /// # Errors
    /// The class of the error.
    pub fn open() -> Result<Self, ErrorClass> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .map_err(ErrorClass::of)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(ErrorClass::of)?;
        Ok(Self { socket })
    }

    /// Asks in the namespace that `namespace` (an open `/proc/PID/ns/net`) is.
    ///
    /// # Errors
    /// [`ErrorClass::Denied`] without `CAP_SYS_ADMIN`.
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, ErrorClass> {
        let enter = || {
            rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
                .map_err(ErrorClass::of)?;
            Self::open()
        };
        std::thread::scope(|scope| {
            let entering = std::thread::Builder::new().name("ringside-netns".into()).spawn_scoped(scope, enter);
            entering.map_err(|_| ErrorClass::Exhausted)?.join().unwrap_or(Err(ErrorClass::Other))
        })
    }

    /// Lists the sockets of a family and protocol. Gives how many there were.
    ///
    /// # Errors
    /// [`ErrorClass::Gone`] or [`ErrorClass::Unsupported`] where the kernel has no such list, [`ErrorClass::Exhausted`]
    /// beyond `most` sockets.
    pub fn list(
        &self,
        family: Family,
        protocol: Protocol,
        most: u64,
        mut each: impl FnMut(DiagSocket),
    ) -> Result<u64, ErrorClass> {
        rustix::net::send(&self.socket, &request(family, protocol), SendFlags::empty()).map_err(ErrorClass::of)?;
        let mut buffer = vec![0u8; BUFFER_BYTES];
        let mut count = 0u64;
        loop {
            let receive = || rustix::net::recv(self.socket.as_fd(), &mut buffer[..], RecvFlags::empty());
            let (length, _) = rustix::io::retry_on_intr(receive).map_err(ErrorClass::of)?;
            let answer = parse_answer(buffer.get(..length).unwrap_or_default(), |socket| {
                count = count.saturating_add(1);
                each(socket);
            })?;
            match answer {
                Answer::Ends => return Ok(count),
                Answer::Refused(code) => return Err(ErrorClass::of(rustix::io::Errno::from_raw_os_error(code))),
                Answer::Goes if count > most => return Err(ErrorClass::Exhausted),
                Answer::Goes => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    /// A message with a header.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn socket_body(state: u8, receive: u32, send: u32, drops: Option<u32>) -> Vec<u8> {
        let mut body = vec![2, state];
        body.resize(56, 0);
        body.extend(receive.to_ne_bytes());
        body.extend(send.to_ne_bytes());
        body.resize(SOCKET_BYTES, 0);
        if let Some(drops) = drops {
            // An attribute of odd length before it, as `INET_DIAG_SHUTDOWN` is.
            body.extend([5, 0, 8, 0, 1, 0, 0, 0]);
            body.extend([40, 0, 7, 0]);
            body.extend([0; 32]);
            body.extend(drops.to_ne_bytes());
        }
        body
    }

    #[test]
    fn sockets_are_taken_until_the_end() {
        let mut piece = message(BY_FAMILY, &socket_body(10, 3, 128, None));
        piece.extend(message(BY_FAMILY, &socket_body(7, 9, 0, Some(17))));
        let mut seen = Vec::new();
        assert_eq!(parse_answer(&piece, |socket| seen.push(socket)), Ok(Answer::Goes));
        let tcp = DiagSocket { state: 10, receive_queue: 3, send_queue: 128, drops: None };
        let udp = DiagSocket { state: 7, receive_queue: 9, send_queue: 0, drops: Some(17) };
        assert_eq!(seen, [tcp, udp]);
        piece.extend(message(DONE, &[0; 4]));
        assert_eq!(parse_answer(&piece, |_| {}), Ok(Answer::Ends));
        assert_eq!(parse_answer(&message(ERROR, &(-2i32).to_ne_bytes()), |_| {}), Ok(Answer::Refused(2)));
    }

    #[test]
    fn a_message_longer_than_its_piece_is_refused() {
        let whole = message(BY_FAMILY, &socket_body(1, 0, 0, Some(1)));
        for length in 1..whole.len() {
            assert_eq!(parse_answer(&whole[..length], |_| {}), Err(Malformed), "{length}");
        }
        assert_eq!(parse_answer(&message(BY_FAMILY, &[0; 71]), |_| {}), Err(Malformed));
        assert_eq!(parse_answer(&[0; 16], |_| {}), Err(Malformed), "a message of no length would never end");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..200, to: u8) {
            let _any = parse_answer(&bytes, |_| {});
            let mut changed = message(BY_FAMILY, &socket_body(1, 0, 0, Some(1)));
            if let Some(byte) = changed.get_mut(at) {
                *byte = to;
            }
            let _any = parse_answer(&changed, |_| {});
        }
    }

    #[test]
    fn a_socket_of_this_process_is_listed_and_the_cap_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let diag = SockDiag::open().unwrap();
        let mut listening = 0;
        let count = diag.list(Family::V4, Protocol::Tcp, 1 << 20, |socket| listening += u64::from(socket.state == 10));
        assert!(count.unwrap() >= listening && listening >= 1);
        let mut told = 0;
        let _udp = diag.list(Family::V4, Protocol::Udp, 1 << 20, |socket| told += u64::from(socket.drops.is_some()));
        assert!(told >= 1, "the kernel tells the drops of each");
        drop((listener, datagrams));
    }
}
