//! Why a command of this program ended.

/// Why a command ended without success, as one sentence with the way out.
#[derive(Debug)]
pub struct Failed {
    pub message: String,
    pub exit_code: u8,
}

impl Failed {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1 }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
