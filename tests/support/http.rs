//! A small blocking HTTP/1.1 client over `TcpStream`.
//!
//! In: an address, a method, a path, headers, a body. Out: status, headers and body, with `Content-Length`, chunked
//! and until-close bodies understood. Written here, apart from the agent's own HTTP library, so that a test sees the bytes that
//! any client would see; it never follows redirects, decompresses or retries.
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is not UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is not JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Response, String> {
    request(address, "GET", path, headers, &[], Duration::from_secs(30))
}

pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, String> {
    request(address, "POST", path, headers, body, Duration::from_secs(120))
}

/// `Err` is a fault of the connection or of the message's form; every well-formed status is `Ok`.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> Result<Response, String> {
    let context = |what: &str, error: std::io::Error| format!("{method} http://{address}{path}: {what}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(|e| context("connect", e))?;
    stream.set_read_timeout(Some(timeout)).map_err(|e| context("timeout", e))?;
    stream.set_write_timeout(Some(timeout)).map_err(|e| context("timeout", e))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(|e| context("write", e))?;
    read_response(&mut BufReader::new(stream), method == "HEAD")
        .map_err(|e| format!("{method} http://{address}{path}: {e}"))
}

fn read_response(reader: &mut impl BufRead, without_body: bool) -> Result<Response, String> {
    let status_line = read_line(reader)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("not an HTTP status line: {status_line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("not a header line: {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if without_body || status == 204 || status == 304 {
        return Ok(response);
    }
    response.body = if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(reader)?
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().map_err(|_| format!("not a length: {length:?}"))?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).map_err(|e| format!("body of {length} bytes ended early: {e}"))?;
        body
    } else {
        let mut body = Vec::new();
        reader.read_to_end(&mut body).map_err(|e| format!("body: {e}"))?;
        body
    };
    Ok(response)
}

fn read_chunks(reader: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("not a chunk size: {line:?}"))?;
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..]).map_err(|e| format!("a chunk of {size} bytes ended early: {e}"))?;
        let end = read_line(reader)?;
        if !end.is_empty() {
            return Err(format!("a chunk is longer than it said: {end:?}"));
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).map_err(|e| format!("read: {e}"))?;
    if line.pop() != Some(b'\n') {
        return Err("the connection closed in the middle of a message".to_owned());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|e| format!("a header line is not UTF-8: {e}"))
}
