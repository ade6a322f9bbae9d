//! Whose an address is, and what was last said of it: so that nothing is said twice unless that is wished, and what somebody else has by
//! now is not taken away.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who has which address.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Holders(BTreeMap<IpAddr, Holder>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    uid: String,
    /// The hash of what is said of it without details.
    plain: u64,
    /// The hash of what its document says.
    said: u64,
    /// The observation of the last inventory that it was in; zero when it was in none.
    listed: u64,
}

/// What is to be said of an address.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) uid: &'a str,
    /// As in the holder.
    pub(crate) plain: u64,
    /// Whether it is to be said though it was said before.
    pub(crate) again: bool,
}

/// Beyond it nobody is remembered: what they say is put as often as it comes. They are 6 MB when they are handed over to the next
/// instance, of the 8 that a call may return.
const MOST: usize = 50_000;

impl Holders {
    /// An object has this address, as an event says that may have said so before; whether a document is to be put.
    pub(crate) fn has(&mut self, address: IpAddr, claim: Claim<'_>, before: bool) -> bool {
        match self.0.get_mut(&address) {
            Some(holder) if holder.uid == claim.uid => {
                let news = holder.plain != claim.plain;
                if news {
                    (holder.plain, holder.said) = (claim.plain, claim.plain);
                }
                // What an inventory has said with details, only an inventory says again.
                news || claim.again && holder.said == claim.plain
            }
            // Somebody came later, who has it now.
            Some(_) if before => false,
            _ => {
                self.remember(address, claim, claim.plain, 0);
                true
            }
        }
    }

    /// An object has this address, as the inventory of this observation says; whether a document that says this is to be put.
    pub(crate) fn is_listed(&mut self, address: IpAddr, claim: Claim<'_>, said: u64, observed: u64) -> bool {
        match self.0.get_mut(&address) {
            Some(holder) if holder.uid == claim.uid => {
                let news = holder.said != said;
                (holder.plain, holder.said, holder.listed) = (claim.plain, said, observed);
                news || claim.again
            }
            _ => {
                self.remember(address, claim, said, observed);
                true
            }
        }
    }

    /// An object has this address no more; whether its document is to be forgotten. So it is, too, when nothing is known.
    pub(crate) fn leaves(&mut self, address: IpAddr, uid: &str) -> bool {
        match self.0.get(&address) {
            Some(holder) if holder.uid != uid => false,
            _ => {
                self.0.remove(&address);
                true
            }
        }
    }

    /// The addresses of those who were in an inventory before, and are not in this one.
    pub(crate) fn unlisted(&mut self, observed: u64) -> Vec<IpAddr> {
        let missing = |holder: &Holder| holder.listed != 0 && holder.listed != observed;
        let gone = self.0.iter().filter(|(_, holder)| missing(holder)).map(|(address, _)| *address).collect();
        self.0.retain(|_, holder| !missing(holder));
        gone
    }

    fn remember(&mut self, address: IpAddr, claim: Claim<'_>, said: u64, listed: u64) {
        if self.0.len() < MOST || self.0.contains_key(&address) {
            self.0.insert(address, Holder { uid: claim.uid.to_owned(), plain: claim.plain, said, listed });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_bounded_number_is_remembered_and_the_others_are_said_every_time() {
        let mut holders = Holders::default();
        let claim = Claim { uid: "0b9f2f2c-5f5e-4c0b-9d0e-0123456789ab", plain: u64::MAX, again: false };
        let address = |number: usize| IpAddr::from(Ipv4Addr::from_bits(u32::MAX - u32::try_from(number).unwrap()));
        for number in 0..MOST {
            assert!(holders.has(address(number), claim, false));
        }
        assert!(!holders.has(address(MOST - 1), claim, true));
        assert!(holders.has(address(MOST), claim, false) && holders.has(address(MOST), claim, true));
        let saved = serde_json::to_string(&holders).unwrap();
        assert!(saved.len() < 8 << 20, "{} bytes", saved.len());
        assert_eq!(serde_json::from_str::<Holders>(&saved).unwrap(), holders);
    }
}
