//! The runner of a file of stories.
//!
//! Starting a cluster takes seconds, so the stories of a file share one, and it has to be ended however they end. The
//! standard test runner has no place for that: its tests are strangers to each other and nothing runs after the last.
//! This one begins the world, tells the stories in their order (each may rely on what the log holds, none on another
//! story's success), catches panics, and drops the world. It understands as much of the standard runner's command line
//! as `cargo test` users need: names to choose by, `--exact`, `--skip NAME`, `--list`; other options are taken and
//! change nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A name and what is told.
pub type Story<W> = (&'static str, fn(&mut W));

/// The stories of a file, named after their functions.
#[macro_export]
macro_rules! stories {
    ($($story:path),+ $(,)?) => { &[$((stringify!($story), $story as fn(&mut _))),+] };
}

/// Options of the standard runner that take a value.
const WITH_VALUE: &[&str] = &["--test-threads", "--format", "--color", "--logfile", "-Z", "--shuffle-seed"];

#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    names: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
}

impl Choice {
    fn parse(args: impl Iterator<Item = String>) -> Self {
        let mut choice = Self::default();
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => choice.exact = true,
                "--list" => choice.list = true,
                "--skip" => choice.skip.extend(args.next()),
                option if WITH_VALUE.contains(&option) => drop(args.next()),
                option if option.starts_with('-') => {}
                _ => choice.names.push(arg),
            }
        }
        choice
    }

    fn takes(&self, name: &str) -> bool {
        let hit = |wanted: &String| if self.exact { name == wanted } else { name.contains(wanted.as_str()) };
        (self.names.is_empty() || self.names.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

/// Tells the chosen stories in the world that `begin` makes.
pub fn tell<W>(begin: impl FnOnce() -> W, stories: &[Story<W>]) -> ExitCode {
    let choice = Choice::parse(std::env::args().skip(1));
    let chosen: Vec<&Story<W>> = stories.iter().filter(|(name, _)| choice.takes(name)).collect();
    if choice.list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} stories", chosen.len());
    let began = Instant::now();
    let failed = if chosen.is_empty() { Vec::new() } else { run(begin, &chosen) };
    let (verdict, code) = match failed.is_empty() {
        true => ("ok", ExitCode::SUCCESS),
        false => ("FAILED", ExitCode::FAILURE),
    };
    let (passed, elapsed) = (chosen.len() - failed.len(), began.elapsed().as_secs_f64());
    for name in &failed {
        println!("failed: {name}");
    }
    println!("\ntest result: {verdict}. {passed} passed; {} failed; finished in {elapsed:.2}s\n", failed.len());
    code
}

/// The names of those that failed.
fn run<W>(begin: impl FnOnce() -> W, chosen: &[&Story<W>]) -> Vec<&'static str> {
    let Ok(mut world) = catch_unwind(AssertUnwindSafe(begin)) else {
        return vec!["the beginning"];
    };
    let mut failed = Vec::new();
    for (name, story) in chosen {
        let began = Instant::now();
        let told = catch_unwind(AssertUnwindSafe(|| story(&mut world)));
        let verdict = if told.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict} ({:.1}s)", began.elapsed().as_secs_f64());
        if told.is_err() {
            failed.push(*name);
        }
    }
    let end = catch_unwind(AssertUnwindSafe(|| drop(world)));
    failed.extend(end.is_err().then_some("the end"));
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(args: &[&str]) -> Choice {
        Choice::parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn stories_are_chosen_as_the_standard_runner_does() {
        let all = choice(&["--nocapture", "--test-threads", "1"]);
        assert!(all.takes("a_story"));
        assert!(choice(&["story"]).takes("a_story") && !choice(&["tale"]).takes("a_story"));
        assert!(!choice(&["story", "--exact"]).takes("a_story"));
        assert!(!choice(&["--skip", "story"]).takes("a_story"));
    }

    #[test]
    fn a_panic_fails_one_story_and_the_world_still_ends() {
        struct World<'a>(&'a std::cell::Cell<u32>);
        impl Drop for World<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let ended = std::cell::Cell::new(0);
        let stories: &[Story<World>] = &[("bad", |_| panic!("on purpose")), ("good", |_| {})];
        let chosen: Vec<_> = stories.iter().collect();
        assert_eq!(run(|| World(&ended), &chosen), ["bad"]);
        assert_eq!(ended.get(), 1);
    }
}
