//! Room for requests that are being read or worked on: bounded for the node, and for each caller, so that nobody can
//! take what others need.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::tls::SpkiSha256;

/// See the module.
#[derive(Debug)]
pub struct Bodies {
    bytes_max: usize,
    per_caller_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_caller: HashMap<SpkiSha256, usize>,
}

/// The share that one request has taken; given back when dropped.
#[derive(Debug)]
pub struct Share {
    bodies: Arc<Bodies>,
    caller: SpkiSha256,
    bytes: usize,
}

impl Bodies {
    /// At most `bytes_max` at once, and `per_caller_max` for one certificate.
    pub fn new(bytes_max: usize, per_caller_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, per_caller_max, taken: Mutex::default() })
    }

    /// A request of `caller` that hasn't taken anything yet.
    pub fn share(self: &Arc<Self>, caller: SpkiSha256) -> Share {
        Share { bodies: Arc::clone(self), caller, bytes: 0 }
    }
}

impl Share {
    /// Takes room for `bytes` more; `false`, and nothing is taken, when there isn't that much.
    pub fn more(&mut self, bytes: usize) -> bool {
        let mut taken = self.bodies.taken.lock();
        let all = taken.all.saturating_add(bytes);
        let own = taken.by_caller.get(&self.caller).copied().unwrap_or(0).saturating_add(bytes);
        if all > self.bodies.bytes_max || own > self.bodies.per_caller_max {
            return false;
        }
        taken.all = all;
        taken.by_caller.insert(self.caller, own);
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.bodies.taken.lock();
        taken.all -= self.bytes;
        if let Some(own) = taken.by_caller.get_mut(&self.caller) {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_share_and_the_node_its_bound() {
        let bodies = Bodies::new(100, 60);
        let (mut first, mut second) = (bodies.share([1; 32]), bodies.share([1; 32]));
        assert!(first.more(40) && second.more(20));
        assert!(!first.more(1), "over the caller's share");
        let mut other = bodies.share([2; 32]);
        assert!(!other.more(41), "over the node's bound");
        assert!(other.more(40));
        drop(second);
        assert!(first.more(20));
        drop((first, other));
        let taken = bodies.taken.lock();
        assert_eq!((taken.all, taken.by_caller.len()), (0, 0));
    }
}
