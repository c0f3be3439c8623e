//! `/proc/PID/net/{tcp,tcp6,udp,udp6}`: the sockets of a network namespace as text.
//!
//! In: the file's bytes. Out: one [`TextSocket`] per line. Source: `Documentation/networking/proc_net_tcp.rst`,
//! `net/ipv4/udp.c`. It is the way for who may not ask the kernel by netlink in another namespace. Never reads. Next: the
//! socket reader of `sample/details/`.

use crate::kernel::parse::{Lines, complete_lines, decimal, fields, split_once};

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextSocket {
    /// The kernel's number of its state (`include/net/tcp_states.h`).
    pub state: u8,
    /// Bytes that wait to be sent; gauge.
    pub send_queue_bytes: u64,
    /// Bytes that wait to be read; gauge.
    pub receive_queue_bytes: u64,
    /// Datagrams dropped since the socket was made; 0 for TCP.
    pub drops: u64,
}

/// Iterator over sockets; see [`parse_tcp`] and [`parse_udp`].
#[derive(Debug, Clone)]
pub struct TextSockets<'a> {
    lines: Lines<'a>,
    drops: bool,
}

/// The sockets of `tcp` or `tcp6`. `None` in place of a socket stands for a line that is not one.
#[must_use]
pub fn parse_tcp(bytes: &[u8]) -> TextSockets<'_> {
    sockets(bytes, false)
}

/// The sockets of `udp` or `udp6`, with their drops.
#[must_use]
pub fn parse_udp(bytes: &[u8]) -> TextSockets<'_> {
    sockets(bytes, true)
}

fn sockets(bytes: &[u8], drops: bool) -> TextSockets<'_> {
    let mut lines = complete_lines(bytes);
    // The names of the columns.
    let _names = lines.next();
    TextSockets { lines, drops }
}

impl TextSockets<'_> {
    /// After the last line: whether the file is torn.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        self.lines.is_torn()
    }
}

impl Iterator for TextSockets<'_> {
    type Item = Option<TextSocket>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        Some(socket(line, self.drops))
    }
}

fn socket(line: &[u8], with_drops: bool) -> Option<TextSocket> {
    let mut columns = fields(line);
    // The number in the list, the two addresses.
    let state = hexadecimal(columns.nth(3)?)?;
    let (send, receive) = split_once(columns.next()?, b':')?;
    // Timer, retransmits, uid, timeout, inode, references, pointer, drops.
    let drops = if with_drops { decimal(columns.nth(7)?)? } else { 0 };
    Some(TextSocket {
        state: u8::try_from(state).ok()?,
        send_queue_bytes: hexadecimal(send)?,
        receive_queue_bytes: hexadecimal(receive)?,
        drops,
    })
}

/// The number that up to 16 hexadecimal digits are.
fn hexadecimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const TCP: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:2616 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0
   1: 0100007F:9C40 0100007F:2616 01 0000002A:00000000 00:00000000 00000000     0        0 12346 1 0000000000000000 20 4 30 10 -1
";
    const UDP: &[u8] = b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            
  321: 00000000:0044 00000000:0000 07 00000000:00000900 00:00000000 00000000     0        0 98765 2 0000000000000000 17
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_udp(bytes).flatten().map(|socket| (format!("{socket:?}"), Some(socket.drops))))
    }

    #[test]
    fn the_transmit_queue_stands_before_the_receive_queue() {
        let tcp: Vec<_> = parse_tcp(TCP).flatten().collect();
        let listen = TextSocket { state: 10, send_queue_bytes: 0, receive_queue_bytes: 3, drops: 0 };
        let established = TextSocket { state: 1, send_queue_bytes: 42, receive_queue_bytes: 0, drops: 0 };
        assert_eq!(tcp, [listen, established]);
        let udp: Vec<_> = parse_udp(UDP).flatten().collect();
        assert_eq!(udp, [TextSocket { state: 7, send_queue_bytes: 0, receive_queue_bytes: 2304, drops: 17 }]);
    }

    #[test]
    fn a_line_that_is_no_socket_is_told_and_a_torn_file_too() {
        let mut sockets = parse_tcp(b"names\nnonsense\n   0: 01");
        assert_eq!(sockets.next(), Some(None));
        assert_eq!(sockets.next(), None);
        assert!(sockets.is_torn());
    }

    #[test]
    fn a_cut_file_and_any_bytes_are_survived() {
        testing::cut_anywhere_is_true_or_absent(UDP, 1, values);
        testing::any_bytes_are_survived(UDP, values);
    }
}
