//! A page of the documentation, run as a reader would run it.
//!
//! The blocks marked `console` are a session: `$ ` begins a command, `> ` continues it, and every other line is its output. In an
//! output, `[..]` stands for anything on one line, and a line `...` for any number of lines. Blocks with another mark are for
//! reading only. All commands of a page run in one shell, so that variables and jobs stay.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use sillage_chaos::process::program;

/// A command that takes longer than this hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// How long the jobs that a page began may take to end.
const JOBS_END_MAX: Duration = Duration::from_secs(20);
/// The line that says that a command has ended.
const ENDED: &str = "-- the command has ended --";

/// A command of a page, with the output that the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its line on the page, from 1.
    pub line: usize,
    /// The command, of one line or more.
    pub command: String,
    /// The lines of its output, with their placeholders.
    pub output: Vec<String>,
}

/// The commands of a page, in their order.
///
/// # Panics
/// When a block begins with something else than a command.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_block, mut is_session, mut began) = (false, false, 0);
    for (line, text) in page.lines().enumerate().map(|(line, text)| (line + 1, text)) {
        if let Some(mark) = text.strip_prefix("```") {
            (in_block, is_session, began) = (!in_block, !in_block && mark == "console", steps.len());
            continue;
        }
        if !is_session {
            continue;
        }
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step { line, command: command.to_owned(), output: Vec::new() });
            continue;
        }
        let step = steps.get_mut(began..).and_then(<[Step]>::last_mut);
        let step = step.unwrap_or_else(|| panic!("line {line}: a block begins with a command, not with {text:?}"));
        match text.strip_prefix("> ") {
            Some(more) if step.output.is_empty() => step.command += &format!("\n{more}"),
            _ => step.output.push(text.to_owned()),
        }
    }
    assert!(!in_block, "the last block doesn't end");
    steps
}

/// Whether an output is the one that a page shows.
pub fn shows(expected: &[String], output: &[&str]) -> bool {
    match expected.split_first() {
        None => output.is_empty(),
        Some((dots, rest)) if dots == "..." => (0..=output.len()).any(|left_out| shows(rest, &output[left_out..])),
        Some((first, rest)) => output.split_first().is_some_and(|(line, others)| {
            line_shows(&first.split("[..]").collect::<Vec<_>>(), line) && shows(rest, others)
        }),
    }
}

/// Whether a line consists of these parts, with anything between them.
fn line_shows(parts: &[&str], line: &str) -> bool {
    let [first, between @ .., last] = parts else {
        return parts.concat() == line;
    };
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A shell in a folder of its own. Dropping it ends the jobs that its commands began.
pub struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    folder: PathBuf,
    ran: usize,
}

impl Shell {
    /// A shell that finds the programs of this workspace, and the checkout as `$SILLAGE`.
    ///
    /// # Panics
    /// When there is no `bash`, or the folder can't be used.
    pub fn begin(folder: &Path) -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace");
        let sillage = program("sillage").unwrap_or_else(|error| panic!("{error}"));
        let programs = sillage.parent().expect("it is in a folder").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-c", "exec bash --norc --noprofile 2>&1"]).current_dir(folder).env("PATH", path);
        for name in ["SILLAGE_PROFILE", "SILLAGE_LOG", "LC_ALL", "LC_MESSAGES", "LANG"] {
            command.env_remove(name);
        }
        let command =
            command.env("SILLAGE", workspace).env("COLUMNS", "120").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start bash: {error}"));
        let (input, mut pipe) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while let Ok(count) = pipe.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut shell = Self { child, input, output, seen: Vec::new(), folder: folder.to_owned(), ran: 0 };
        shell.send("set -m\n");
        shell
    }

    /// Runs a command and asserts that its output is the one that the page shows. For a command that goes on in the background,
    /// waits until it has said so.
    ///
    /// # Panics
    /// When the output differs, or the command hangs.
    pub fn run(&mut self, step: &Step) {
        self.ran += 1;
        let file = self.folder.join(format!(".step-{}", self.ran));
        std::fs::write(&file, &step.command).expect("a file of the shell");
        // Commands have no input but what the page gives them, and the shell goes on where one fails.
        self.send(&format!(". {} </dev/null; printf '\\n%s\\n' '{ENDED}'\n", file.display()));
        let deadline = Instant::now() + COMMAND_MAX;
        let mut ended = None;
        loop {
            let text = String::from_utf8_lossy(&self.seen).into_owned();
            ended = ended.or_else(|| text.find(&format!("\n{ENDED}\n")));
            if let Some(at) = ended {
                let (said, later) = text.split_at(at);
                let said = said.to_owned() + &later[ENDED.len() + 2..];
                // On a busy machine a command says meanwhile that it is still trying.
                let lines: Vec<&str> = said.lines().filter(|line| !line.contains("no node has answered yet")).collect();
                if shows(&step.output, &lines) {
                    self.seen.clear();
                    return;
                }
                if !step.command.trim_end().ends_with('&') {
                    differs(step, &said);
                }
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Timeout) => differs(step, &format!("{text}\n(nothing more came)")),
                Err(RecvTimeoutError::Disconnected) => differs(step, &format!("{text}\n(the shell has ended)")),
            }
        }
    }

    fn send(&mut self, text: &str) {
        let input = self.input.as_mut().expect("the shell's input is open until it is dropped");
        input.write_all(text.as_bytes()).expect("the shell reads");
    }
}

fn differs(step: &Step, said: &str) -> ! {
    panic!("line {}: $ {}\n-- the page shows\n{}\n-- it said\n{said}", step.line, step.command, step.output.join("\n"));
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(mut input) = self.input.take() {
            // A shell that is gone reads nothing, and has no jobs.
            let _ = input.write_all(b"for job in $(jobs -p); do kill -- -$job; done 2>/dev/null; wait\nexit\n");
        }
        let deadline = Instant::now() + JOBS_END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_commands_and_their_outputs() {
        let page = "```sh\n$ no\n```\n```console\n$ cat <<END\n> a\n> END\na\n$ true\n```\n";
        let expected = [(5, "cat <<END\na\nEND", vec!["a"]), (9, "true", vec![])];
        let found = steps(page);
        assert_eq!(found.len(), expected.len());
        for (step, (line, command, output)) in found.iter().zip(expected) {
            assert_eq!((step.line, step.command.as_str()), (line, command));
            assert_eq!(step.output, output);
        }
    }

    #[test]
    fn placeholders_stand_for_what_differs_from_run_to_run() {
        let shown = |expected: &[&str], output: &[&str]| {
            let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
            shows(&expected, output)
        };
        assert!(shown(&["at [..]: ok"], &["at 12:30: ok"]));
        assert!(!shown(&["at [..]: ok"], &["at 12:30: bad"]));
        assert!(shown(&["a [..] b [..] c"], &["a 1 b 2 c"]) && !shown(&["a [..] b [..] c"], &["a 1 c"]));
        assert!(shown(&["first", "...", "last"], &["first", "last"]));
        assert!(shown(&["first", "...", "last"], &["first", "x", "y", "last"]));
        assert!(!shown(&["first", "...", "last"], &["first", "x"]));
        assert!(!shown(&[], &["an error"]));
    }
}
