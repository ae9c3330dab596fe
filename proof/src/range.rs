//! Range proofs: that the leaves `a` (inclusive) to `b` (exclusive) of a tree of `n` are these
//! (`docs/formats.md` §9).
//!
//! The tree is split as RFC 6962 does, at the largest power of two below the size, until a part lies wholly inside or
//! outside of the range. Parts outside travel as hashes, parts inside are computed from their leaves. A proof with
//! `b = n` also shows that the tree of `n` extends the one of `a`: [`root_from_before`].

use crate::hash::{Hash, node_hash};
use crate::merkle::{ProofError, empty_root, root_of, split_point};

/// A part of the tree, as it lies to the range.
enum Part {
    Before,
    Inside,
    After,
    Across,
}

fn part(begin: u64, end: u64, a: u64, b: u64) -> Part {
    if end <= a {
        Part::Before
    } else if begin >= b {
        Part::After
    } else if begin >= a && end <= b {
        Part::Inside
    } else {
        Part::Across
    }
}

/// The range proof of leaves `a` to `b` (exclusive) of the tree over the leaf hashes `leaves`: the roots of the parts
/// before the range, and of those after it, each from left to right.
///
/// # Panics
/// When `a <= b <= leaves.len()` doesn't hold.
pub fn range_proof(leaves: &[Hash], a: usize, b: usize) -> (Vec<Hash>, Vec<Hash>) {
    assert!(a <= b && b <= leaves.len(), "a range of the tree");
    let (mut before, mut after) = (Vec::new(), Vec::new());
    if !leaves.is_empty() {
        let range = (a as u64, b as u64);
        collect(leaves, 0, range, &mut before, &mut after);
    }
    (before, after)
}

fn collect(leaves: &[Hash], begin: u64, range: (u64, u64), before: &mut Vec<Hash>, after: &mut Vec<Hash>) {
    let end = begin + leaves.len() as u64;
    match part(begin, end, range.0, range.1) {
        Part::Before => before.push(root_of(leaves)),
        Part::After => after.push(root_of(leaves)),
        Part::Inside => {}
        Part::Across => {
            let middle = split_point(end - begin);
            let (left, right) = leaves.split_at(usize::try_from(middle).expect("below the length of a slice"));
            collect(left, begin, range, before, after);
            collect(right, begin + middle, range, before, after);
        }
    }
}

/// The root of the tree of `n` leaves whose leaves from `a` on are `inside`, with the hashes of its range proof.
///
/// # Errors
/// When the range isn't in the tree, or the proof hasn't exactly the hashes of that range.
pub fn root_from_range(n: u64, a: u64, inside: &[Hash], before: &[Hash], after: &[Hash]) -> Result<Hash, ProofError> {
    let b = a.checked_add(inside.len() as u64).filter(|b| *b <= n);
    let b = b.ok_or(ProofError::IndexBeyondSize { index: a, size: n })?;
    let mut climb = Climb { a, b, inside, before: before.iter(), after: after.iter() };
    let wrong = ProofError::WrongLength { got: before.len().saturating_add(after.len()), want: hashes_of(n, a, b) };
    let root = match n {
        0 => Some(empty_root()),
        n => climb.root(0, n),
    };
    let all_read = climb.before.len() == 0 && climb.after.len() == 0;
    root.filter(|_| all_read).ok_or(wrong)
}

/// The root of the first `a` leaves, from the `before` of a range proof that begins at `a` in a larger tree; for an
/// empty `before`, of the tree without leaves.
pub fn root_from_before(before: &[Hash]) -> Hash {
    match before.split_last() {
        None => empty_root(),
        Some((last, left)) => left.iter().rfold(*last, |acc, node| node_hash(node, &acc)),
    }
}

/// How many hashes the proof of a range has.
fn hashes_of(n: u64, a: u64, b: u64) -> usize {
    fn count(begin: u64, end: u64, a: u64, b: u64) -> usize {
        match part(begin, end, a, b) {
            Part::Before | Part::After => 1,
            Part::Inside => 0,
            Part::Across => {
                let middle = begin + split_point(end - begin);
                count(begin, middle, a, b) + count(middle, end, a, b)
            }
        }
    }
    if n == 0 { 0 } else { count(0, n, a, b) }
}

/// The hashes of the proof that are left while the tree is walked from left to right. Only parts across an end of the range
/// are split: at most two on each of 64 levels.
struct Climb<'a> {
    a: u64,
    b: u64,
    inside: &'a [Hash],
    before: std::slice::Iter<'a, Hash>,
    after: std::slice::Iter<'a, Hash>,
}

impl Climb<'_> {
    /// `None` when a hash is missing.
    fn root(&mut self, begin: u64, end: u64) -> Option<Hash> {
        match part(begin, end, self.a, self.b) {
            Part::Before => self.before.next().copied(),
            Part::After => self.after.next().copied(),
            Part::Inside => {
                let place = |at: u64| usize::try_from(at - self.a).ok();
                self.inside.get(place(begin)?..place(end)?).map(root_of)
            }
            Part::Across => {
                let middle = begin + split_point(end - begin);
                let left = self.root(begin, middle)?;
                let right = self.root(middle, end)?;
                Some(node_hash(&left, &right))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::leaf_hash;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_range_of_small_trees_verifies_and_shows_the_older_tree() {
        for n in 0..=20_usize {
            let leaves = leaves(n);
            for a in 0..=n {
                for b in a..=n {
                    let (before, after) = range_proof(&leaves, a, b);
                    let root = root_from_range(n as u64, a as u64, &leaves[a..b], &before, &after);
                    assert_eq!(root, Ok(root_of(&leaves)), "{n} {a} {b}");
                    assert_eq!(root_from_before(&before), root_of(&leaves[..a]), "{n} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_range_outside_of_the_tree_is_refused() {
        let leaves = leaves(3);
        assert!(root_from_range(2, 0, &leaves, &[], &[]).is_err());
        assert!(root_from_range(2, 2, &leaves[..1], &[], &[]).is_err());
        assert!(root_from_range(u64::MAX, u64::MAX, &leaves, &[], &[]).is_err());
        assert!(root_from_range(0, 0, &[], &leaves[..1], &[]).is_err());
    }

    proptest! {
        /// The size itself is bound by what commits to the root (the row of §9, the text of a checkpoint).
        #[test]
        fn any_change_of_a_proof_leads_elsewhere(n in 1..200_usize, x in any::<usize>(), y in any::<usize>(),
                                                 what in 0..5_u8, at in any::<usize>()) {
            let leaves = leaves(n);
            let (a, b) = { let (x, y) = (x % (n + 1), y % (n + 1)); (x.min(y), x.max(y)) };
            let (mut before, mut after) = range_proof(&leaves, a, b);
            let mut inside = leaves[a..b].to_vec();
            let mut start = a as u64;
            let list = match at % 3 { 0 => &mut before, 1 => &mut inside, _ => &mut after };
            let last = list.len().saturating_sub(1);
            match what {
                0 if !list.is_empty() => list[at % (last + 1)] = leaf_hash(b"another"),
                1 if !list.is_empty() => drop(list.remove(at % (last + 1))),
                2 if list.len() > 1 => list.swap(0, last),
                3 => list.push(leaf_hash(b"one more")),
                _ => start += 1,
            }
            let root = root_from_range(n as u64, start, &inside, &before, &after);
            prop_assert_ne!(root, Ok(root_of(&leaves)));
        }
    }
}
