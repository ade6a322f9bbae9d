//! Which names the files have that are appended to, and those that they are rotated to. Pure.

use crate::files::name;

/// The largest number that a rotated file has.
pub(super) const LARGEST_NUMBER: u32 = 1000;

/// The longest name that leaves room for a dot and the largest number.
const LONGEST: usize = 250;

/// A name that a file and the files that it is rotated to can have.
pub(super) fn check(name: &str) -> Result<(), String> {
    name::check(name).map_err(|reason| format!("`file` or the channel cannot be a file name: {reason}"))?;
    if name.len() > LONGEST {
        return Err(format!("the name has {} bytes, {LONGEST} at most leave room for the numbers of rotated files", name.len()));
    }
    Ok(())
}

/// What the file is called after so many rotations.
pub(super) fn rotated(name: &str, number: u32) -> String {
    format!("{name}.{number}")
}

/// The name of the file that is rotated to this one, if any is.
pub(super) fn base(rotated: &str) -> Option<&str> {
    let (name, digits) = rotated.rsplit_once('.')?;
    let number: u32 = digits.parse().ok()?;
    let is_ours = (1..=LARGEST_NUMBER).contains(&number) && digits.len() == number.to_string().len();
    (is_ours && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_rotated_to_leads_back_to_it() {
        for number in [1, 9, 10, LARGEST_NUMBER] {
            assert_eq!(base(&rotated("a.csv", number)), Some("a.csv"));
        }
        for name in ["a", "a.csv", "a.0", "a.01", "a.1001", "a.+1", "a.", ".1", "1", "a.99999999999"] {
            assert_eq!(base(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_leaves_room_for_the_number() {
        assert_eq!(check(&"a".repeat(250)), Ok(()));
        assert!(check(&"a".repeat(251)).is_err());
        for name in ["", "..", "a/b", ".sluicebox-appended"] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
