//! How far a long step is: a bar on a terminal, a plain line at each quarter elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Instant;

/// One step with a known length.
#[derive(Debug)]
pub struct Progress {
    title: String,
    total: u64,
    bar: Option<ProgressBar>,
    quarters: u64,
    began: Instant,
}

impl Progress {
    /// Begins a step of `total` units.
    pub fn new(title: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style =
                ProgressStyle::with_template("{prefix:36} [{bar:40}] {pos:>7}/{len} {per_sec:>12} {elapsed:>4}");
            bar.set_style(style.expect("the template is right").progress_chars("=> "));
            bar.set_prefix(title.to_owned());
            bar
        });
        Self { title: title.to_owned(), total, bar, quarters: 0, began: Instant::now() }
    }

    /// So many units are done.
    pub fn set(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                let quarters = (done * 4).checked_div(self.total).unwrap_or(4).min(4);
                if quarters > self.quarters {
                    self.quarters = quarters;
                    println!("{}: {done}/{} ({:.1} s)", self.title, self.total, self.began.elapsed().as_secs_f64());
                }
            }
        }
    }

    /// Says something in between.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// The step is over.
    pub fn finish(mut self) {
        self.set(self.total);
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
