//! Whether what the soak looked at has stayed flat.
//!
//! Owns the bounds, and what is compared with what. Looks at nothing itself, and knows no server.
//!
//! What leaks grows while a server lives, and is gone with it: so within each life a later look is compared with an early one. What is kept on disk
//! grows from life to life: so the last third of the run is compared with the first. The first look of each life is left out, since a server takes up what it
//! needs then. A busy machine makes some looks worse and none better: so within lives that counts which half of them show, and of a third the least.

use std::fmt;

use super::{Look, WINDOWS};

/// How much something may grow: to so many times what it was, and so much.
#[derive(Clone, Copy, Debug)]
struct Bound {
    what: &'static str,
    unit: &'static str,
    of: fn(&Look) -> f64,
    times: f64,
    more: f64,
}

/// The bounds, by name.
const BOUNDS: [Bound; 4] = [
    Bound { what: "resident memory", unit: " MiB", of: |look| look.rss_mib, times: 1.25, more: 8.0 },
    Bound { what: "handles", unit: "", of: |look| look.handles, times: 1.1, more: 8.0 },
    Bound { what: "acknowledgement p50", unit: " ms", of: |look| look.ack_p50_ms, times: 2.0, more: 1.0 },
    Bound { what: "delivery p50", unit: " ms", of: |look| look.delivery_p50_ms, times: 2.0, more: 1.0 },
];

/// A bound that was broken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    what: &'static str,
    unit: &'static str,
    when: &'static str,
    from: f64,
    to: f64,
    most: f64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, unit, when, from, to, most } = self;
        write!(f, "{what} grew {when} from {from:.2}{unit} to {to:.2}{unit}, where at most {most:.2}{unit} is flat")
    }
}

/// The bounds that these looks, in their order, break.
pub(super) fn judge(looks: &[Look]) -> Vec<Broken> {
    let lives: Vec<&[Look]> = looks.chunks(WINDOWS as usize).filter_map(|life| life.get(1..)).collect();
    let warm: Vec<&Look> = lives.iter().copied().flatten().collect();
    let third = warm.len() / 3;
    let mut broken = Vec::new();
    for bound in BOUNDS {
        let ends = lives.iter().filter_map(|life| Some(((bound.of)(life.first()?), (bound.of)(life.last()?))));
        let mut ends: Vec<_> = ends.collect();
        // By how much each is above what it may be: half of the lives are at least as far above it as the one in the middle.
        ends.sort_by(|a, b| bound.excess(a).total_cmp(&bound.excess(b)));
        let within = ends.get(ends.len().saturating_sub(1) / 2).map(|ends| ("within a life", *ends));
        let least = |looks: &[&Look]| looks.iter().map(|look| (bound.of)(look)).fold(f64::INFINITY, f64::min);
        let thirds = (least(&warm[..third]), least(&warm[warm.len() - third..]));
        let over = (third > 0).then_some(("from the first third of the run to the last", thirds));
        for (when, (from, to)) in within.into_iter().chain(over) {
            let Bound { what, unit, .. } = bound;
            if bound.excess(&(from, to)) > 0.0 {
                broken.push(Broken { what, unit, when, from, to, most: bound.most(from) });
            }
        }
    }
    broken
}

impl Bound {
    fn most(&self, from: f64) -> f64 {
        from * self.times + self.more
    }

    fn excess(&self, (from, to): &(f64, f64)) -> f64 {
        to - self.most(*from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::LIVES;

    /// A run of an hour as it was, with what `more` makes of each look by its life and its place in that.
    fn run(more: impl Fn(u32, u32, &mut Look)) -> Vec<Look> {
        let look = |life: u32, window: u32| {
            let mut look = Look {
                life,
                minute: f64::from(life * WINDOWS + window) * 3.0,
                rss_mib: if window == 0 { 18.0 } else { 30.0 + f64::from(life) * 0.5 },
                handles: 55.0,
                cpu_percent: 6.0,
                acks_per_s: 190.0,
                ack_p50_ms: 1.5,
                ack_p99_ms: 20.0,
                delivery_p50_ms: 1.6,
                delivery_p99_ms: 21.0,
            };
            more(life, window, &mut look);
            look
        };
        (0..LIVES).flat_map(|life| (0..WINDOWS).map(move |window| (life, window))).map(|(a, b)| look(a, b)).collect()
    }

    fn names(looks: &[Look]) -> Vec<(&'static str, &'static str)> {
        judge(looks).iter().map(|broken| (broken.what, broken.when)).collect()
    }

    const WITHIN: &str = "within a life";
    const OVER: &str = "from the first third of the run to the last";

    #[test]
    fn a_flat_run_breaks_nothing_though_a_server_warms_up_and_the_machine_was_busy_for_a_while() {
        assert_eq!(names(&run(|_, _, _| {})), []);
        let busy = |life: u32, window: u32, look: &mut Look| {
            if life == 2 || (life == 3 && window == 4) {
                (look.ack_p50_ms, look.delivery_p50_ms, look.rss_mib) = (12.0, 12.1, look.rss_mib * 1.2);
            }
        };
        assert_eq!(names(&run(busy)), []);
    }

    #[test]
    fn what_grows_while_a_server_lives_is_named_though_a_kill_takes_it_away() {
        let leaks = |_, window: u32, look: &mut Look| look.rss_mib += f64::from(window) * 8.0;
        assert_eq!(names(&run(leaks)), [("resident memory", WITHIN)]);
        let leaks = |_, window: u32, look: &mut Look| look.handles += f64::from(window) * 10.0;
        assert_eq!(names(&run(leaks)), [("handles", WITHIN)]);
        let slows = |_, window: u32, look: &mut Look| look.ack_p50_ms += f64::from(window) * 2.0;
        let told = judge(&run(slows));
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0].to_string(),
            "acknowledgement p50 grew within a life from 3.50 ms to 9.50 ms, where at most 8.00 ms is flat"
        );
    }

    #[test]
    fn what_grows_from_life_to_life_is_named() {
        let grows = |life: u32, _, look: &mut Look| look.rss_mib += f64::from(life) * 10.0;
        assert_eq!(names(&run(grows)), [("resident memory", OVER)]);
        let slows = |life: u32, _, look: &mut Look| look.delivery_p50_ms += f64::from(life) * 2.0;
        assert_eq!(names(&run(slows)), [("delivery p50", OVER)]);
    }

    #[test]
    fn a_run_that_has_hardly_begun_breaks_nothing() {
        for count in 0..3 {
            assert_eq!(names(&run(|_, _, _| {})[..count]), []);
        }
    }
}
