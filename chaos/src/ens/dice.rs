//! Choices from a seed: the only randomness of the generator.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of choices.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The same seed makes the same choices.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        // Multiply and shift: even enough for stories, and one draw a choice.
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product's upper half has 64 bits")
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Between 0 and 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1_u64 << 53) as f64
    }

    /// A place in a list of this length.
    pub fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.place(from.len())]
    }

    /// Decimal digits, as text.
    pub fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(self.below(10)).expect("one digit"))).collect()
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }

    /// A random UUID (RFC 9562, version 4) as a URN.
    pub fn uuid(&mut self) -> String {
        let mut b = self.bytes::<16>();
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let h = hex::encode(b);
        format!("urn:uuid:{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
    }
}

/// Ranks by Zipf's law: rank `k` of `n` (from 0) with a weight of `1 / (k + 1)^s`.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Summed weights up to each rank, the last is 1.
    cumulated: Vec<f64>,
}

impl Zipf {
    /// The law over `n` ranks with exponent `s`.
    pub fn new(n: usize, s: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = (1..=n)
            .map(|rank| {
                sum += (rank as f64).powf(-s);
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|weight| *weight /= sum);
        Self { cumulated }
    }

    /// One rank, from 0.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let at = dice.unit();
        self.cumulated.partition_point(|weight| *weight <= at).min(self.cumulated.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_come_more_often() {
        let (law, mut dice) = (Zipf::new(1_000, 1.0), Dice::new(1));
        let mut seen = vec![0_u32; 1_000];
        (0..50_000).for_each(|_| seen[law.draw(&mut dice)] += 1);
        assert!(seen[0] > seen[9] * 5 && seen[9] > seen[99] * 3, "{:?}", &seen[..10]);
    }

    #[test]
    fn a_choice_stays_in_bounds() {
        let mut dice = Dice::new(3);
        assert!((0..1_000).all(|_| (5..=9).contains(&dice.between(5, 9))));
        assert!(dice.uuid().starts_with("urn:uuid:"));
        assert_eq!(dice.uuid().len(), 45);
    }
}
