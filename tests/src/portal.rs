//! A portal beside the nodes, and browsers without scripts: they keep cookies, follow links, and send forms as they stand on a page.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sillage_chaos::process::{free_ports, program};

use crate::http::Reply;
use crate::world::World;

/// A process that doesn't answer after this won't.
const START_MAX: Duration = Duration::from_secs(60);
/// An answer that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The issuer that the login for development names.
pub const ISSUER: &str = "urn:sillage:demo-login";

/// A running portal: the page process and the login process. Dropping it ends both.
pub struct Portal {
    /// Their folder.
    pub dir: PathBuf,
    /// `host:port` of the pages, of the login, of the back channel.
    pub addresses: [String; 3],
    /// The profile of the page process' party.
    pub profile: PathBuf,
    pages: Child,
    login: Child,
}

impl Portal {
    /// Registers two parties, makes a folder, and starts both processes. `patients` are as `sillage-portal init --patient` takes them.
    ///
    /// # Panics
    /// When something doesn't start.
    pub fn open(world: &World, name: &str, patients: &[String]) -> Self {
        let party = |role: &str| {
            let own = format!("{name}-{role}");
            let out = world.path(&own).display().to_string();
            let register = ["keys", "register", "--name", &own, "--role", role, "--issuer", ISSUER, "--out", &out];
            world.sillage_as(&world.authority_file(), &register).ok();
            world.path(&own).join("sillage.toml")
        };
        let (profile, login_profile, dir) = (party("portal"), party("login"), world.path(name));
        let port = free_ports(3).expect("free ports");
        let addresses = [0, 1, 2].map(|offset| format!("127.0.0.1:{}", port + offset));
        let issuer = world.profile().test_issuer.expect("a test log has an issuer of its own");
        let mut command = Command::new(portal_program());
        command.arg("init").arg("--dir").arg(&dir).arg("--profile").arg(&profile).arg("--login-profile");
        command.arg(&login_profile).arg("--test-issuer").arg(issuer).args(["--listen", &addresses[0]]);
        for patient in patients {
            command.args(["--patient", patient]);
        }
        let made = command.output().expect("init runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (pages, login) = (start(&dir, "serve"), start(&dir, "login"));
        let mut portal = Self { dir, addresses, profile, pages, login };
        portal.wait();
        portal
    }

    /// Kills the page process, and starts it again: it keeps nothing.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&mut self) {
        let _ended = self.pages.kill();
        let _status = self.pages.wait();
        self.pages = start(&self.dir, "serve");
        self.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while !self.addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            let pages = self.pages.try_wait().expect("a child can be waited for");
            if let Some(status) = pages.or(self.login.try_wait().expect("a child can be waited for")) {
                panic!("a process of the portal ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the portal doesn't listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What both processes logged.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        read("serve.log") + &read("login.log")
    }

    /// A browser with no cookies yet, at the first page.
    pub fn browser(&self) -> Browser {
        Browser { pages: self.addresses[0].clone(), cookies: BTreeMap::new(), seen: Vec::new() }
    }

    /// A browser in which the patient of this place in the list is logged in.
    ///
    /// # Panics
    /// When the login doesn't work.
    pub fn logged_in(&self, patient: usize) -> Browser {
        let mut browser = self.browser();
        let choose = browser.get("/connexion");
        choose.expect(200);
        let done = browser.send(&choose.form("/choose").set("personne", &patient.to_string()));
        done.expect(200);
        assert!(browser.cookies.keys().any(|name| name == "sillage-session"), "{}", done.text());
        browser
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        for child in [&mut self.pages, &mut self.login] {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

fn portal_program() -> PathBuf {
    program("sillage-portal").unwrap_or_else(|error| panic!("{error}"))
}

fn start(dir: &Path, command: &str) -> Child {
    let path = dir.join(format!("{command}.log"));
    let log = std::fs::File::options().create(true).append(true).open(path).expect("a log file");
    let config = if command == "serve" { "portal.toml" } else { "login.toml" };
    let mut process = Command::new(portal_program());
    process.arg(command).arg("--config").arg(dir.join(config));
    process.env("SILLAGE_LOG", "debug").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    process.spawn().expect("a process of the portal starts")
}

/// A browser without scripts.
#[derive(Clone)]
pub struct Browser {
    /// `host:port` of the pages.
    pages: String,
    /// Its cookies: those of all ports of a host, as browsers have them.
    pub cookies: BTreeMap<String, String>,
    /// Every address that it asked for.
    pub seen: Vec<String>,
}

/// A page that a browser shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it is from: `host:port`.
    pub host: String,
    /// Its path and query.
    pub path: String,
    /// The answer.
    pub reply: Reply,
}

/// A form as it stands on a page, to be filled in.
#[derive(Debug, Clone)]
pub struct Form {
    host: String,
    action: String,
    fields: Vec<(String, String)>,
}

impl Browser {
    /// Asks the pages for a path, and follows where it leads.
    pub fn get(&mut self, path: &str) -> Page {
        self.follow("GET", &self.pages.clone(), path, &[])
    }

    /// Asks for a path, and follows nowhere.
    pub fn get_here(&mut self, path: &str) -> Page {
        self.once("GET", &self.pages.clone(), path, &[])
    }

    /// Sends a form, and follows where it leads.
    pub fn send(&mut self, form: &Form) -> Page {
        self.follow("POST", &form.host, &form.action, &form.fields)
    }

    /// Sends a form, and follows nowhere.
    pub fn send_here(&mut self, form: &Form) -> Page {
        self.once("POST", &form.host, &form.action, &form.fields)
    }

    fn follow(&mut self, method: &str, host: &str, path: &str, fields: &[(String, String)]) -> Page {
        let mut page = self.once(method, host, path, fields);
        for _ in 0..8 {
            let Some(to) = page.reply.header("location").map(str::to_owned) else { return page };
            let (host, path) = match to.strip_prefix("http://") {
                Some(rest) => {
                    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                    (host.to_owned(), format!("/{path}"))
                }
                None => (page.host.clone(), to),
            };
            page = self.once("GET", &host, &path, &[]);
        }
        panic!("the portal leads round and round: {}", page.path);
    }

    fn once(&mut self, method: &str, host: &str, path: &str, fields: &[(String, String)]) -> Page {
        self.seen.push(format!("{host}{path}"));
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let body = body.join("&");
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if !cookies.is_empty() {
            head += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if method == "POST" {
            head += &format!(
                "Origin: http://{host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        let mut stream = TcpStream::connect(host).expect("the portal listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("the request is taken");
        let reply = Reply::read(&mut stream);
        for (_, line) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            match attributes.contains("Max-Age=0") {
                true => drop(self.cookies.remove(name)),
                false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        Page { host: host.to_owned(), path: path.to_owned(), reply }
    }
}

impl Page {
    /// The page, where its status is this one.
    ///
    /// # Panics
    /// When it is another one.
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.reply.status, status, "{}: {}", self.path, self.text());
        self
    }

    /// Its text, with its markup.
    pub fn text(&self) -> String {
        self.reply.text()
    }

    /// The form that is sent to this path: its hidden fields, what is chosen in it, and nothing else.
    ///
    /// # Panics
    /// When there is none.
    pub fn form(&self, action: &str) -> Form {
        let text = self.text();
        let own = text.split("<form").skip(1).find(|form| {
            let head = form.split('>').next().unwrap_or_default();
            attribute(head, "action").as_deref() == Some(action)
        });
        let own = own.unwrap_or_else(|| panic!("no form for {action} on {}: {text}", self.path));
        let own = own.split("</form>").next().unwrap_or_default();
        let mut fields = Vec::new();
        for tag in own.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
            let kind = attribute(tag, "type").unwrap_or_default();
            let is_chosen = tag.contains(" checked");
            let (name, value) = (attribute(tag, "name"), attribute(tag, "value").unwrap_or_default());
            if let Some(name) =
                name.filter(|_| kind == "hidden" || is_chosen || ["text", "date"].contains(&kind.as_str()))
            {
                fields.push((name, value));
            }
        }
        Form { host: self.host.clone(), action: action.to_owned(), fields }
    }

    /// The values of a field of choices, by their labels.
    pub fn offered(&self, field: &str) -> Vec<(String, String)> {
        let text = self.text();
        let mut out = Vec::new();
        for rest in text.split("<input").skip(1) {
            let (tag, after) = rest.split_once('>').unwrap_or((rest, ""));
            let is_choice = ["radio", "checkbox"].contains(&attribute(tag, "type").unwrap_or_default().as_str());
            if is_choice && attribute(tag, "name").as_deref() == Some(field) {
                let label = after.split("</label>").next().unwrap_or_default();
                out.push((attribute(tag, "value").unwrap_or_default(), plain(label)));
            }
        }
        out
    }

    /// Links of the page, as they stand in it.
    pub fn links(&self) -> Vec<String> {
        let text = self.text();
        text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(unescaped).collect()
    }
}

impl Form {
    /// Gives a field one value.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(own, _)| own != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(unescaped)
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&amp;", "&")
}

/// A piece of a page without its markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut is_tag = false;
    for c in text.chars() {
        match c {
            '<' => is_tag = true,
            '>' => is_tag = false,
            c if !is_tag => out.push(c),
            _ => {}
        }
    }
    unescaped(out.trim())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
