//! Folders of nodes, as somebody who copies disks has them.

use std::fs;
use std::path::Path;

/// Copies a folder with all that is in it.
///
/// # Panics
/// When the disk refuses.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
