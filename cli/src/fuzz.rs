//! Fuzz targets: what a node or a file says, as a terminal shows it. None may panic.

use sillage_client::fuzz::events;
use sillage_words::Lang;

use crate::table::table;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[("table", fuzz_table)];

/// Lines of a trace: what is believed can be shown.
pub fn fuzz_table(data: &[u8]) {
    for event in events(data) {
        for lang in [Lang::Fr, Lang::En] {
            let _ = table(&[(&event, (event.index, event.index))], lang);
        }
    }
}
