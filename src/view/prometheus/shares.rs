//! CPU weight back to CPU shares.
//!
//! cgroup v2 knows no shares: container runtimes turn them into a weight, formerly by a straight line
//! (`1 + (shares − 2) · 9999 / 262142`), now by a curve that maps the default to the default
//! (`10^((log₂² s + 125 log₂ s) / 612 − 7/34)`, 1024 → 100). Inverting one formula's weight by the other is off by a
//! factor of about 2.5: weight 100 would read as 2597 shares.
//!
//! What can be known: weights 1 and 10000 are the ends of both formulas, and weight 100 is the kernel's default, which
//! the line reaches only from 2597..2622 shares, so 100 always means 1024. For the rest the formula is read off the cgroup
//! that holds all pods: its shares are the node's allocatable CPUs, at most its cores, so a weight above what the line
//! gives for all cores was made by the curve. Without such a cgroup, or with the kernel's default on it, the curve is
//! assumed: it is what runtimes ship.
//!
//! Many shares map to one weight. Of those the one that is the roundest number of millicores is shown, because shares
//! come from requests: 39 by the line is 1024 (one CPU), not the 998 that the line's plain inverse gives.

/// How shares became weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formula {
    /// The straight line.
    Line,
    /// The curve through (1024, 100).
    Curve,
}

const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;

impl Formula {
    /// Reads the formula off the weight of the cgroup that holds all pods.
    #[must_use]
    pub fn of_node(kubepods_weight: Option<u64>, cores: u64) -> Self {
        match kubepods_weight {
            Some(weight) if cores > 0 && weight != 100 && weight <= Self::Line.weight(cores.saturating_mul(1024)) => {
                Self::Line
            }
            _ => Self::Curve,
        }
    }

    /// The weight that this formula gives.
    #[must_use]
    pub fn weight(self, shares: u64) -> u64 {
        let shares = shares.clamp(MIN_SHARES, MAX_SHARES);
        match self {
            Self::Line => 1 + (shares - 2) * 9999 / 262_142,
            Self::Curve if shares == MIN_SHARES => 1,
            Self::Curve => {
                let log = float(shares).log2();
                whole(10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil()).clamp(1, 10_000)
            }
        }
    }

    /// The highest shares that give at most `weight`.
    fn most_shares(self, weight: u64) -> u64 {
        if weight >= 10_000 {
            return MAX_SHARES;
        }
        let guess = match self {
            Self::Line => 2 + (weight * 262_142).div_ceil(9999).saturating_sub(1),
            Self::Curve => {
                let log =
                    (-125.0 + (125.0f64 * 125.0 + 4.0 * 612.0 * (float(weight).log10() + 7.0 / 34.0)).sqrt()) / 2.0;
                whole(log.exp2())
            }
        };
        // The float may be off by one to either side.
        let mut shares = (guess + 2).clamp(MIN_SHARES, MAX_SHARES);
        while shares > MIN_SHARES && self.weight(shares) > weight {
            shares -= 1;
        }
        shares
    }
}

/// The shares behind a weight.
#[must_use]
pub fn shares_of(weight: u64, formula: Formula) -> u64 {
    match weight {
        0 | 1 => return MIN_SHARES,
        100 => return 1024,
        10_000.. => return MAX_SHARES,
        _ => {}
    }
    let most = formula.most_shares(weight);
    let least = (formula.most_shares(weight - 1) + 1).min(most);
    roundest(least, most)
}

/// Of a range of shares the one that is the roundest number of millicores.
fn roundest(least: u64, most: u64) -> u64 {
    for step in [1000, 500, 250, 100, 50, 25, 10, 5, 1] {
        // The highest multiple of `step` millicores whose shares do not exceed `most`.
        let millicores = (most * 1000 + 999) / 1024 / step * step;
        let shares = millicores * 1024 / 1000;
        if (least..=most).contains(&shares) {
            return shares;
        }
    }
    most
}

#[expect(clippy::cast_precision_loss, reason = "shares and weights are far below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates, and NaN is 0")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formulas_give_the_weights_of_their_runtimes() {
        for (shares, line, curve) in
            [(2, 1, 1), (102, 4, 17), (512, 20, 59), (1024, 39, 100), (262_144, 10_000, 10_000)]
        {
            assert_eq!(Formula::Line.weight(shares), line, "{shares} by the line");
            assert_eq!(Formula::Curve.weight(shares), curve, "{shares} by the curve");
        }
    }

    #[test]
    fn the_default_weight_is_the_default_shares_under_both_formulas() {
        assert_eq!(shares_of(100, Formula::Line), 1024);
        assert_eq!(shares_of(100, Formula::Curve), 1024);
        assert_eq!(shares_of(1, Formula::Line), 2);
        assert_eq!(shares_of(10_000, Formula::Curve), 262_144);
    }

    #[test]
    fn round_requests_come_back_exactly() {
        for formula in [Formula::Line, Formula::Curve] {
            for millicores in [100, 500, 1000, 2000, 4000, 8000, 16_000] {
                let shares = millicores * 1024 / 1000;
                assert_eq!(shares_of(formula.weight(shares), formula), shares, "{millicores}m by {formula:?}");
            }
        }
        assert_eq!(shares_of(Formula::Curve.weight(256), Formula::Curve), 256, "250m");
    }

    #[test]
    fn whatever_is_shown_would_be_turned_into_the_same_weight() {
        for formula in [Formula::Line, Formula::Curve] {
            for weight in (2..10_000).filter(|weight| *weight != 100) {
                assert_eq!(formula.weight(shares_of(weight, formula)), weight, "{weight} by {formula:?}");
            }
        }
    }

    #[test]
    fn the_pods_cgroup_betrays_the_formula() {
        for cores in [1, 2, 4, 16, 64] {
            assert_eq!(Formula::of_node(Some(Formula::Line.weight(cores * 1024 - 100)), cores), Formula::Line);
            assert_eq!(Formula::of_node(Some(Formula::Curve.weight(cores * 1024 - 100)), cores), Formula::Curve);
        }
        assert_eq!(Formula::of_node(None, 4), Formula::Curve);
        assert_eq!(Formula::of_node(Some(100), 64), Formula::Curve, "nobody has set it");
    }
}
