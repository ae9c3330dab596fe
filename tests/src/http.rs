//! Requests to a server on loopback, well formed or not, each on a connection of its own; and its answers.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A way to a server, which another thread can have.
#[derive(Debug, Clone)]
pub struct Caller {
    port: u16,
    /// In front of every path, such as `/fhir`.
    base: String,
    token: Option<String>,
}

impl Caller {
    /// To the server on this port of loopback. Its paths are below `base`; `token` is its bearer token.
    pub fn new(port: u16, base: &str, token: Option<&str>) -> Self {
        Self { port, base: base.to_owned(), token: token.map(str::to_owned) }
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// When none is taken.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        stream
    }

    /// Sends a request with the token. `path` is below the base.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Reply> {
        let auth = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all: Vec<(&str, &str)> = auth.iter().map(|auth| ("Authorization", auth.as_str())).collect();
        all.extend(headers);
        self.try_send_bare(method, path, &all, body)
    }

    /// The same without the token.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn try_send_bare(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut head = format!("{method} {}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.base);
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())?;
        // A refused body is cut: the answer is there all the same.
        let _cut = stream.write_all(body);
        let reply = Reply::try_read(&mut stream)?;
        let told: Option<usize> = reply.header("content-length").and_then(|length| length.parse().ok());
        let is_whole = method == "HEAD" || reply.status == 304 || told.is_none_or(|told| told == reply.body.len());
        is_whole.then_some(reply).ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "half an answer"))
    }

    /// `POST` of a resource; none where no whole answer comes.
    pub fn try_post(&self, path: &str, resource: &Value) -> Option<Reply> {
        self.try_send("POST", path, &[FHIR_JSON], resource.to_string().as_bytes()).ok()
    }
}

/// The media type of a resource in JSON.
pub const FHIR_JSON: (&str, &str) = ("Content-Type", "application/fhir+json");

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads an answer to the end of the connection.
    ///
    /// # Panics
    /// When none comes.
    pub fn read(stream: &mut TcpStream) -> Self {
        Self::try_read(stream).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        // Whoever was refused before the end of the request is reset after the answer.
        let read = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
            .ok_or_else(|| read.err().unwrap_or_else(|| Error::new(ErrorKind::UnexpectedEof, "no answer")))
    }

    /// Reads the bytes of an answer; none where they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    /// The same, where its status is this one.
    ///
    /// # Panics
    /// When it is another one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Its `Location`.
    ///
    /// # Panics
    /// When it has none.
    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location: {}", self.text()))
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The id in its `Location`.
    ///
    /// # Panics
    /// When it has none.
    pub fn id(&self) -> String {
        let path = self.location().split("/_history").next().expect("a first part");
        path.rsplit('/').next().expect("a last part").to_owned()
    }

    /// Its first issue: code, text and element.
    ///
    /// # Panics
    /// When it is no OperationOutcome with a text.
    pub fn issue(&self) -> (String, String, String) {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
        let issue = &outcome["issue"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = text(&issue["details"]["text"]);
        assert!(!said.is_empty() && issue["severity"].is_string(), "{outcome}");
        (text(&issue["code"]), said, text(&issue["expression"][0]))
    }
}
