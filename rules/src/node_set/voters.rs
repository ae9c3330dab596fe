//! The voters of a set, and their majority.

/// The nodes whose signatures count: the voters of a set, and, in a joint step, those of the set before beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voters {
    incoming: Vec<u64>,
    outgoing: Vec<u64>,
}

impl Voters {
    /// Of these ids. `outgoing` is empty outside of a joint step.
    pub fn new(incoming: Vec<u64>, outgoing: Vec<u64>) -> Self {
        let sorted = |mut ids: Vec<u64>| {
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        Self { incoming: sorted(incoming), outgoing: sorted(outgoing) }
    }

    /// Everyone whose signature counts, ascending, each once.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids = [self.incoming.as_slice(), self.outgoing.as_slice()].concat();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Tells whether the signature of this node counts.
    pub fn contains(&self, id: u64) -> bool {
        self.groups().any(|group| group.contains(&id))
    }

    /// Tells whether two sets count at once.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The groups of which each needs a majority of its own: one, or two in a joint step.
    pub fn groups(&self) -> impl Iterator<Item = &[u64]> {
        let outgoing = (!self.outgoing.is_empty()).then_some(self.outgoing.as_slice());
        std::iter::once(self.incoming.as_slice()).chain(outgoing)
    }

    /// Tells whether those who agree are a majority; in a joint step, of both sets. Nobody is no majority of nobody.
    pub fn is_majority(&self, agrees: impl Fn(u64) -> bool) -> bool {
        let has = |group: &[u64]| group.iter().filter(|id| agrees(**id)).count() >= majority(group.len());
        self.groups().all(has)
    }
}

/// How many of so many voters are a majority.
pub const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_not_a_majority() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(majority), [1, 1, 2, 2, 3, 3]);
        let four = Voters::new(vec![4, 2, 3, 1], vec![]);
        assert!(!four.is_majority(|id| id <= 2));
        assert!(four.is_majority(|id| id <= 3));
        assert!(!Voters::new(vec![], vec![]).is_majority(|_| true));
    }

    #[test]
    fn a_joint_step_needs_a_majority_of_both_sets() {
        let joint = Voters::new(vec![1, 2, 4], vec![1, 2, 3]);
        assert_eq!(joint.ids(), [1, 2, 3, 4]);
        assert!(joint.is_majority(|id| id == 1 || id == 2));
        assert!(!joint.is_majority(|id| id == 1 || id == 3), "one of the new set");
        assert!(!joint.is_majority(|id| id == 2 || id == 4), "one of the old set");
        assert!(joint.contains(3) && joint.contains(4) && !joint.contains(5));
    }
}
