//! Changes of text files, gathered first and written together: what is refused on the way has changed nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DevError, system};
use crate::init::profile::Profile;

/// New texts of files, by path. Nothing is on the disk before [`Edits::write`].
#[derive(Debug, Default)]
pub(super) struct Edits(BTreeMap<PathBuf, String>);

impl Edits {
    /// The text of a file, as it will be.
    pub(super) fn text(&self, path: &Path) -> Result<String, DevError> {
        match self.0.get(path) {
            Some(text) => Ok(text.clone()),
            None => std::fs::read_to_string(path).map_err(system(path.display().to_string())),
        }
    }

    /// Gives a file this text.
    pub(super) fn put(&mut self, path: &Path, text: String) {
        self.0.insert(path.to_owned(), text);
    }

    /// Gives a file the text that `change` makes of its own.
    pub(super) fn edit(
        &mut self,
        path: &Path,
        change: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(), DevError> {
        let before = self.text(path)?;
        let what = || path.display().to_string();
        let after = change(&before).map_err(|message| DevError::System { what: what(), message })?;
        if after != before {
            self.put(path, after);
        }
        Ok(())
    }

    /// Changes a profile.
    pub(super) fn edit_profile(&mut self, path: &Path, change: impl FnOnce(&mut Profile)) -> Result<(), DevError> {
        self.edit(path, |text| {
            let before: Profile = toml::from_str(text).map_err(|error| error.to_string())?;
            let mut after = before.clone();
            change(&mut after);
            // Comments and order stay where nothing else changed.
            Ok(if after == before { text.to_owned() } else { after.to_toml() })
        })
    }

    /// Writes all of them, each whole or not at all.
    pub(super) fn write(self) -> Result<(), DevError> {
        for (path, text) in self.0 {
            let new = path.with_extension("new");
            std::fs::write(&new, text)
                .and_then(|()| std::fs::rename(&new, &path))
                .map_err(system(path.display().to_string()))?;
        }
        Ok(())
    }
}
