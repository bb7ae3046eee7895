//! What expressions take, and whose: no tenant's may take the room of another's.

use std::collections::BTreeMap;

use crate::settings::Shares;

/// What the automata of all expressions may take together, in bytes: the manifest's default for the policy's memory is
/// 64 MiB, and evaluations need some of it.
const LARGEST_IN_ALL: usize = 24 << 20;

/// What the expressions so far take, in bytes.
pub(crate) struct Taken {
    shares: Option<Shares>,
    all: usize,
    of_tenants: usize,
    of_tenant: BTreeMap<String, usize>,
}

impl Taken {
    /// Nothing. Without shares there is the bound of all alone.
    pub(crate) fn new(shares: Option<Shares>) -> Self {
        Self { shares, all: 0, of_tenants: 0, of_tenant: BTreeMap::new() }
    }

    /// Adds an expression of these tenants, or, if there are none, one for all. The error names no tenant.
    pub(crate) fn add(&mut self, bytes: usize, tenants: &[String]) -> Result<(), String> {
        self.all += bytes;
        if let Some(shares) = self.shares.filter(|_| !tenants.is_empty()) {
            at_most(bytes, shares.of_rule, "it takes", "make it simpler")?;
            for tenant in tenants {
                let of_tenant = self.of_tenant.entry(tenant.clone()).or_default();
                *of_tenant += bytes;
                at_most(*of_tenant, shares.of_tenant, "all expressions of this tenant take", FEWER)?;
            }
            self.of_tenants += bytes;
            at_most(self.of_tenants, shares.of_tenants, "all expressions of tenants take", FEWER)?;
        }
        at_most(self.all, LARGEST_IN_ALL, "all expressions up to this one take", FEWER)
    }
}

const FEWER: &str = "make them simpler or fewer";

fn at_most(bytes: usize, most: usize, what: &str, remedy: &str) -> Result<(), String> {
    match bytes > most {
        true if most >= 1 << 20 => Err(format!("{what} more than {} MiB; {remedy}", most >> 20)),
        true => Err(format!("{what} more than {} KiB; {remedy}", most >> 10)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_share_and_those_for_all_the_rest() {
        let shares = Shares { of_rule: 2 << 20, of_tenant: 3 << 20, of_tenants: 8 << 20 };
        let mut taken = Taken::new(Some(shares));
        let tenant = |name: &str| vec![name.to_owned()];
        let mut add = |mib: usize, tenants: &[String]| taken.add(mib << 20, tenants).err().unwrap_or_default();
        assert_eq!(add(2, &tenant("one")), "");
        assert_eq!(
            add(2, &tenant("one")),
            "all expressions of this tenant take more than 3 MiB; make them simpler or fewer"
        );
        let mut taken = Taken::new(Some(shares));
        let mut add = |mib: usize, tenants: &[String]| taken.add(mib << 20, tenants).err().unwrap_or_default();
        assert_eq!(add(3, &[]), "", "one for all is of no tenant");
        for name in ["one", "two", "three", "four"] {
            assert_eq!(add(2, &tenant(name)), "", "{name}");
        }
        assert_eq!(
            add(1, &tenant("five")),
            "all expressions of tenants take more than 8 MiB; make them simpler or fewer"
        );
        assert_eq!(
            Taken::new(Some(shares)).add(3 << 20, &tenant("one")).unwrap_err(),
            "it takes more than 2 MiB; make it simpler"
        );
        assert_eq!(Taken::new(None).add(20 << 20, &tenant("one")), Ok(()), "without shares as ever");
        assert!(Taken::new(None).add(25 << 20, &[]).is_err());
    }
}
