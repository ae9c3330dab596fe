//! Where a node is started: its network, and what is preloaded into it.

use super::ProcessError;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The surroundings in which a node's process is started. Nothing of it concerns any other process.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The network namespace, as `nsenter --net=` takes it; `None`: that of this program.
    pub namespace: Option<PathBuf>,
    /// Libraries that go before all others.
    pub preload: Vec<PathBuf>,
    /// The environment that those read.
    pub env: Vec<(String, String)>,
}

impl Surroundings {
    /// A command that runs `program` there. The shell that leads there is replaced by the program: its process id is
    /// the one that is started.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={}", namespace.display())).arg("--").arg(program);
                enter
            }
            None => Command::new(program),
        };
        if !self.preload.is_empty() {
            let libraries: Vec<String> = self.preload.iter().map(|path| path.display().to_string()).collect();
            command.env("LD_PRELOAD", libraries.join(":"));
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Writes other addresses into the configurations of nodes on this machine, and into the profiles: node `id` is at `at(id)`
/// from now on, on the ports that it had.
pub(super) fn readdress(
    dir: &Path,
    ids: impl Iterator<Item = u64> + Clone,
    at: fn(u64) -> Ipv4Addr,
) -> Result<(), ProcessError> {
    let configs: Vec<(u64, PathBuf)> = ids.map(|id| (id, dir.join(format!("node-{id}/node.toml")))).collect();
    let mut moves = Vec::new();
    for (id, path) in &configs {
        let text = read(path)?;
        for key in ["listen_client", "listen_peer"] {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('=').map(str::trim));
            let before = value.unwrap_or_default().trim_matches('"').to_owned();
            let Some((_, port)) = before.rsplit_once(':') else {
                let what = format!("no address after `{key}` in {}", path.display());
                return Err(ProcessError::Failed { what, log: text });
            };
            moves.push((before.clone(), format!("{}:{port}", at(*id))));
        }
    }
    let profiles = ["sillage.toml", "authority.toml"].map(|name| dir.join(name));
    for path in configs.into_iter().map(|(_, path)| path).chain(profiles) {
        let text = moves.iter().fold(read(&path)?, |text, (before, after)| {
            // A port that begins with another one's digits is not that one.
            text.replace(&format!("{before}\""), &format!("{after}\""))
        });
        fs::write(&path, text).map_err(ProcessError::io(format!("cannot write {}", path.display())))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, ProcessError> {
    fs::read_to_string(path).map_err(ProcessError::io(format!("cannot read {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::net;
    use super::*;

    #[test]
    fn a_node_has_the_process_id_of_what_was_started() {
        let env = vec![("SURROUNDED".to_owned(), "yes".to_owned())];
        let surroundings = Surroundings { env, ..Surroundings::default() };
        let mut command = surroundings.command(Path::new("sh"));
        let child = command.args(["-c", "echo $$ $SURROUNDED"]).stdout(std::process::Stdio::piped()).spawn();
        let child = child.expect("a shell");
        let expected = format!("{} yes\n", child.id());
        assert_eq!(String::from_utf8_lossy(&child.wait_with_output().expect("ended").stdout), expected);
    }

    #[test]
    fn every_file_names_the_new_address_and_only_whole_ones_change() {
        let dir = tempfile::tempdir().expect("a folder");
        for id in [1, 2] {
            fs::create_dir(dir.path().join(format!("node-{id}"))).expect("a folder");
            let text = format!(
                "listen_client = \"127.0.0.1:70{id}\"\nlisten_peer = \"127.0.0.1:70{id}1\"\n\
                 [[peers]]\naddress = \"127.0.0.1:7021\"\n"
            );
            fs::write(dir.path().join(format!("node-{id}/node.toml")), text).expect("a file");
        }
        for name in ["sillage.toml", "authority.toml"] {
            let text = "endpoints = [\"https://127.0.0.1:701\", \"https://127.0.0.1:702\"]\n";
            fs::write(dir.path().join(name), text).expect("a file");
        }
        readdress(dir.path(), 1..=2, net::address).expect("written");
        let text = read(&dir.path().join("node-1/node.toml")).expect("read");
        assert!(text.contains("\"10.99.0.1:701\"") && text.contains("\"10.99.0.1:7011\""), "{text}");
        assert!(text.contains("address = \"10.99.0.2:7021\""), "{text}");
        let text = read(&dir.path().join("sillage.toml")).expect("read");
        assert_eq!(text, "endpoints = [\"https://10.99.0.1:701\", \"https://10.99.0.2:702\"]\n");
    }
}
