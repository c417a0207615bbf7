//! Giving people to places so that as many places as possible are filled and nobody fills two.

/// Gives people to places. There are `capacity[kind]` places of each kind, and `fits(kind, person)` says whether a person may take one.
/// As many people as possible get a place, each at most one; whoever comes earlier is never left out for somebody later.
/// Returns the people of each kind.
///
/// Maximum bipartite matching by augmenting paths.
pub(super) fn assign(capacity: &[u32], people: usize, fits: &dyn Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut hall = Hall {
        capacity,
        fits,
        taken: vec![Vec::new(); capacity.len()],
        tried: Vec::new(),
    };
    for person in 0..people {
        hall.tried = vec![false; capacity.len()];
        hall.seat(person);
    }
    hall.taken
}

struct Hall<'a> {
    capacity: &'a [u32],
    fits: &'a dyn Fn(usize, usize) -> bool,
    taken: Vec<Vec<usize>>,
    /// Kinds that this search has looked at: each once, so that it ends.
    tried: Vec<bool>,
}

impl Hall<'_> {
    /// Finds a place for a person, if need be by asking others to move.
    fn seat(&mut self, person: usize) -> bool {
        for kind in 0..self.capacity.len() {
            if self.tried[kind] || !(self.fits)(kind, person) {
                continue;
            }
            self.tried[kind] = true;
            if self.taken[kind].len() < self.capacity[kind] as usize {
                self.taken[kind].push(person);
                return true;
            }
            for place in 0..self.taken[kind].len() {
                if self.seat(self.taken[kind][place]) {
                    self.taken[kind][place] = person;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::assign;

    /// The most people who can be placed, by trying everything.
    fn most(capacity: &mut [u32], fits: &[Vec<bool>], person: usize) -> usize {
        let Some(wishes) = fits.get(person) else { return 0 };
        let mut best = most(capacity, fits, person + 1);
        for kind in 0..capacity.len() {
            if wishes[kind] && capacity[kind] > 0 {
                capacity[kind] -= 1;
                best = best.max(1 + most(capacity, fits, person + 1));
                capacity[kind] += 1;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn as_many_as_trying_everything_finds(
            mut capacity in prop::collection::vec(0..3u32, 0..4),
            fits in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 0..6),
        ) {
            let placed = assign(&capacity, fits.len(), &|kind, person| fits[person][kind]);
            let mut everybody: Vec<usize> = placed.iter().flatten().copied().collect();
            prop_assert_eq!(everybody.len(), most(&mut capacity, &fits, 0));
            for (kind, people) in placed.iter().enumerate() {
                prop_assert!(people.len() <= capacity[kind] as usize);
                prop_assert!(people.iter().all(|person| fits[*person][kind]), "somebody sits where they may not");
            }
            everybody.sort_unstable();
            everybody.dedup();
            prop_assert_eq!(everybody.len(), placed.iter().flatten().count(), "somebody sits twice");
        }
    }
}
