//! Identifiers that look and check like real ones: INS (NIR), RPPS, FINESS. All of them are invented.

use super::dice::Dice;
use super::names::TOWNS;

/// OID of the INS of tests: accepted only by a test log.
pub const INS_TEST_OID: &str = "1.2.250.1.213.1.4.10";
/// Identifier system of health professionals.
pub const RPPS_SYSTEM: &str = "urn:oid:1.2.250.1.71.4.2.1";

/// The sex as it is registered: the first digit of an INS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    /// 2.
    Female,
    /// 1.
    Male,
}

/// An INS: 13 characters and its key of two, Corsican departments (2A, 2B) included.
///
/// Order numbers are 900 and above, which birth registers hardly ever reach.
pub fn ins(dice: &mut Dice, sex: Sex, birth_year: u64) -> String {
    let (department, commune, _) = dice.pick(TOWNS);
    let sex = if sex == Sex::Female { 2 } else { 1 };
    let (month, order) = (dice.between(1, 12), dice.between(900, 999));
    let body = format!("{sex}{:02}{month:02}{department}{commune}{order}", birth_year % 100);
    let key = nir_key(&body);
    format!("{body}{key:02}")
}

/// The key of a NIR of 13 characters: 97 less the number modulo 97, with 2A counted as 19 and 2B as 18.
pub fn nir_key(body: &str) -> u64 {
    let number: u64 = body.replace("2A", "19").replace("2B", "18").parse().expect("a NIR is digits, but for 2A and 2B");
    97 - number % 97
}

/// An RPPS number: 11 digits, the last one their Luhn key.
pub fn rpps(dice: &mut Dice) -> String {
    with_luhn(format!("10{}", dice.digits(8)))
}

/// A FINESS number of `department`: 9 digits, the last one their Luhn key.
pub fn finess(dice: &mut Dice, department: &str) -> String {
    let department = department.replace(['A', 'B'], "0");
    with_luhn(format!("{department}0{}", dice.digits(5)))
}

fn with_luhn(body: String) -> String {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let value = u32::from(digit - b'0');
            match i % 2 {
                0 if value > 4 => value * 2 - 9,
                0 => value * 2,
                _ => value,
            }
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_agree_with_published_numbers() {
        assert_eq!(nir_key("2790351215189"), 89);
        assert_eq!(with_luhn("75071218".to_owned()), "750712184");
        assert_eq!(with_luhn("7992739871".to_owned()), "79927398713");
    }

    #[test]
    fn corsicans_are_among_them_and_all_have_15_characters() {
        let mut dice = Dice::new(5);
        let all: Vec<String> = (0..2_000).map(|_| ins(&mut dice, Sex::Female, 1979)).collect();
        assert!(all.iter().all(|ins| ins.len() == 15 && ins.starts_with("279")));
        assert!(all.iter().any(|ins| &ins[5..7] == "2A") && all.iter().any(|ins| &ins[5..7] == "2B"));
        assert_eq!(finess(&mut dice, "2A").len(), 9);
    }
}
