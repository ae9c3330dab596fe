//! A network of our own making, in which links between nodes can be cut one way or both.
//!
//! The program that breaks things first moves into a network namespace of its own ([`in_own_namespace`]): from then on
//! nothing it does to networks is seen outside. There, [`Net`] makes a bridge and, for each node, a namespace with one
//! cable to the bridge. A namespace lives as long as a process in it: ours is a `cat` that ends when our end of its pipe
//! closes, so that all of it is gone when we are, however we go.
//!
//! A cut is silent, like a pulled cable: the sender is told a hardware address that nobody has, so its packets leave
//! and never arrive. Messages from the other side still come through, unless that way is cut as well.

use super::ProcessError;
use super::find::on_path;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In the environment of a program that runs in its own namespace already.
const OWN_VARIABLE: &str = "SILLAGE_CHAOS_OWN_NET";
/// Of iproute2 and util-linux.
const PROGRAMS: [&str; 3] = ["ip", "unshare", "nsenter"];
const BRIDGE: &str = "br0";
const CABLE: &str = "eth0";
/// Locally administered, and nobody's.
const NOBODY: &str = "02:00:00:00:00:ff";
const ANCHOR_MAX: Duration = Duration::from_secs(5);

/// Where node `id` is on the network.
pub fn address(id: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, u8::try_from(id).expect("a few nodes"))
}

/// Where the one who breaks things is.
const OWN_ADDRESS: &str = "10.99.0.254/24";

/// Tells whether such a network can be made here.
///
/// # Errors
/// Why not.
pub fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("network namespaces need root".to_owned());
    }
    if let Some(missing) = PROGRAMS.iter().find(|name| !on_path(name)) {
        return Err(format!("`{missing}` is missing (Debian: iproute2, util-linux)"));
    }
    let script = format!("ip link add {BRIDGE} type bridge && ip link add v1 type veth peer name v2");
    match run(Command::new("unshare").args(["--net", "sh", "-c", &script])) {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("this system makes no bridges in network namespaces ({error})")),
    }
}

/// Replaces this program by itself in a network namespace of its own; returns where it is in one already. To be called
/// before anything else is started.
///
/// # Errors
/// When that can't be.
pub fn in_own_namespace() -> Result<(), ProcessError> {
    if is_own() {
        return ip(&["link", "set", "lo", "up"]);
    }
    let own = std::env::current_exe().map_err(ProcessError::io("cannot find this program's own path"))?;
    let mut again = Command::new("unshare");
    again.args(["--net", "--"]).arg(own).args(std::env::args_os().skip(1)).env(OWN_VARIABLE, "1");
    Err(ProcessError::io("cannot run `unshare --net`")(again.exec()))
}

/// Tells whether [`in_own_namespace`] has taken place.
pub fn is_own() -> bool {
    std::env::var_os(OWN_VARIABLE).is_some()
}

/// A bridge in this program's namespace, and a namespace on it for each node. Dropping it unmakes all of it.
#[derive(Debug)]
pub struct Net {
    places: Vec<Place>,
    cuts: Vec<(u64, u64)>,
}

/// The namespace of one node.
#[derive(Debug)]
struct Place {
    id: u64,
    anchor: Child,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Its input closes with it; asking it to end as well costs nothing.
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
    }
}

impl Place {
    fn new(id: u64) -> Result<Self, ProcessError> {
        let outside = namespace_of("self")?;
        let mut cat = Command::new("unshare");
        cat.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let anchor = cat.spawn().map_err(ProcessError::io("cannot run `unshare --net cat`"))?;
        let mut place = Self { id, anchor };
        let (pid, deadline) = (place.anchor.id().to_string(), Instant::now() + ANCHOR_MAX);
        while namespace_of(&pid)? == outside {
            let ended = matches!(place.anchor.try_wait(), Ok(Some(_)));
            if ended || Instant::now() > deadline {
                let what = format!("no network namespace was made for node {id}");
                return Err(ProcessError::Failed { what, log: String::new() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let (near, far) = (format!("n{id}"), place.anchor.id().to_string());
        ip(&["link", "add", &near, "type", "veth", "peer", "name", CABLE, "netns", &far])?;
        ip(&["link", "set", &near, "master", BRIDGE, "up"])?;
        place.ip(&["link", "set", "lo", "up"])?;
        place.ip(&["addr", "add", &format!("{}/24", address(id)), "dev", CABLE])?;
        place.ip(&["link", "set", CABLE, "up"])?;
        Ok(place)
    }

    fn path(&self) -> PathBuf {
        Path::new("/proc").join(self.anchor.id().to_string()).join("ns/net")
    }

    /// `ip` in the node's namespace.
    fn ip(&self, args: &[&str]) -> Result<(), ProcessError> {
        run(Command::new("nsenter").arg(format!("--net={}", self.path().display())).arg("ip").args(args))
    }
}

impl Net {
    /// Makes it, for nodes 1 to `count`. Only in a namespace of one's own.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// When this program is still in everybody's namespace.
    pub fn new(count: u64) -> Result<Self, ProcessError> {
        assert!(is_own(), "a network is made in a namespace of one's own");
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["addr", "add", OWN_ADDRESS, "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        let places: Result<Vec<Place>, _> = (1..=count).map(Place::new).collect();
        Ok(Self { places: places?, cuts: Vec::new() })
    }

    /// The namespace of node `id`, as a file that `nsenter --net=` takes.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn namespace(&self, id: u64) -> PathBuf {
        self.place(id).path()
    }

    /// From now on nothing that `from` sends arrives at `to`.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// When there is no node `from`.
    pub fn cut(&mut self, from: u64, to: u64) -> Result<(), ProcessError> {
        let to_address = address(to).to_string();
        self.place(from).ip(&["neigh", "replace", &to_address, "lladdr", NOBODY, "dev", CABLE, "nud", "permanent"])?;
        self.cuts.push((from, to));
        Ok(())
    }

    /// Undoes all cuts.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn heal(&mut self) -> Result<(), ProcessError> {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.place(from).ip(&["neigh", "del", &address(to).to_string(), "dev", CABLE])?;
        }
        Ok(())
    }

    fn place(&self, id: u64) -> &Place {
        self.places.iter().find(|place| place.id == id).expect("each node has its place")
    }
}

/// The network namespace that a process is in.
fn namespace_of(pid: &str) -> Result<PathBuf, ProcessError> {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).map_err(ProcessError::io("cannot read a network namespace"))
}

fn ip(args: &[&str]) -> Result<(), ProcessError> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> Result<(), ProcessError> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = format!("{} {}", command.get_program().display(), words.join(" "));
    let out = command.stdin(Stdio::null()).output().map_err(ProcessError::io(format!("cannot run `{line}`")))?;
    match out.status.success() {
        true => Ok(()),
        false => {
            let log = String::from_utf8_lossy(&out.stderr).into_owned();
            Err(ProcessError::Failed { what: format!("`{line}` ended with {}", out.status), log })
        }
    }
}
