//! A provider of logins of others (npm `oidc-provider`, with the settings of FranceConnect+), and a browser of few words that logs in
//! there. `tests/portal/provider.mjs` is the program.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sillage_chaos::process::free_ports;

use crate::http::Reply;

/// An answer that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Redirects that a login has at most.
const STEPS_MAX: usize = 12;

/// A running provider. Dropping it ends it.
pub struct Provider {
    child: Child,
    /// The claim `iss`.
    pub issuer: String,
    /// Its public keys.
    pub jwks: Value,
    port: u16,
}

/// A service that logs people in there.
pub struct Registered<'a> {
    /// Its name.
    pub client_id: &'a str,
    /// The address to which the browser returns.
    pub redirect_uri: &'a str,
    /// The address to which it goes after a logout.
    pub after_logout: &'a str,
    /// Its public keys.
    pub jwks: &'a Value,
}

impl Provider {
    /// Starts it from its folder ([`crate::npm::folder`]). `accounts`: `[{"id", "label", "claims": {…}}]`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start(folder: &Path, service: &Registered<'_>, accounts: &Value) -> Self {
        let port = free_ports(1).expect("a free port");
        let settings = json!({
            "port": port,
            "client": {
                "id": service.client_id, "redirect_uris": [service.redirect_uri], "post_logout_redirect_uris": [service.after_logout],
                "jwks": service.jwks,
            },
            "accounts": accounts,
        });
        let file = folder.join(format!("settings-{port}.json"));
        std::fs::write(&file, settings.to_string()).expect("a file");
        let mut command = Command::new("node");
        command
            .arg(folder.join("provider.mjs"))
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("node is there");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let _gone = std::fs::remove_file(file);
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("the provider doesn't start: {error} {line}"));
        let issuer = said["issuer"].as_str().expect("an issuer").to_owned();
        Self { child, issuer, jwks: said["jwks"].clone(), port }
    }

    /// Makes the next answers wrong in one way; `tests/portal/provider.mjs` says in which.
    pub fn goes_wrong(&self, how: &Value) {
        self.send("POST", "/wrong", &BTreeMap::new(), &how.to_string()).expect(204);
    }

    /// Makes answers right again.
    pub fn goes_right(&self) {
        self.send("GET", "/wrong", &BTreeMap::new(), "").expect(204);
    }

    /// A browser that has logged in nowhere.
    pub fn browser(&self) -> Browser<'_> {
        Browser { provider: self, cookies: BTreeMap::new() }
    }

    fn send(&self, method: &str, path: &str, cookies: &BTreeMap<String, String>, body: &str) -> Reply {
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            cookies.join("; "),
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the provider listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a bound");
        stream.write_all(request.as_bytes()).expect("it is read");
        Reply::read(&mut stream)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A browser at the provider: it keeps cookies, follows redirects there, and fills in the page of a login.
pub struct Browser<'a> {
    provider: &'a Provider,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    /// Goes to `address` and logs `account` in at this value of `acr`; without an account it cancels. Gives the query of the return.
    ///
    /// # Panics
    /// When it doesn't return.
    pub fn log_in(&mut self, address: &str, account: Option<&str>, acr: &str) -> String {
        let mut reply = self.follow("GET", address, "");
        if reply.status == 200 {
            let form =
                account.map_or_else(|| "does=cancel".to_owned(), |id| format!("account={id}&acr={acr}&does=login"));
            let place = reply.header("x-place").expect("set below").to_owned();
            reply = self.follow("POST", &place, &form);
        }
        let to = reply.header("location").unwrap_or_else(|| panic!("no return: {} {}", reply.status, reply.text()));
        to.split_once('?').unwrap_or_else(|| panic!("no query: {to}")).1.to_owned()
    }

    /// Follows redirects as long as they stay at the provider.
    fn follow(&mut self, method: &str, address: &str, body: &str) -> Reply {
        let (mut method, mut address, mut body) = (method, address.to_owned(), body);
        for _ in 0..STEPS_MAX {
            let path = address.strip_prefix(&self.provider.issuer).unwrap_or(&address).to_owned();
            let mut reply = self.provider.send(method, &path, &self.cookies, body);
            for (_, cookie) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
                let pair = cookie.split(';').next().expect("a first part");
                let (name, value) = pair.split_once('=').expect("a cookie");
                match value.is_empty() {
                    true => drop(self.cookies.remove(name)),
                    false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
                }
            }
            let to = reply.header("location").map(str::to_owned);
            match to {
                Some(to) if to.starts_with(&self.provider.issuer) || to.starts_with('/') => {
                    (method, address, body) = ("GET", to, "");
                }
                _ => {
                    reply.headers.push(("x-place".to_owned(), path));
                    return reply;
                }
            }
        }
        panic!("redirects without end");
    }
}
