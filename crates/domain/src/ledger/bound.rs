//! The lower bound of a success rate: the 5 % quantile of the posterior Beta(successes + 1, failures + 1), which starts from "every rate is
//! equally likely". Chosen over the plain share, which says 100 % after one run, and over Wilson's interval, which is bolder at no failures.

/// The `tail` quantile of Beta(successes + 1, failures + 1), from 0 to 1: the true rate is higher with probability `1 - tail`.
///
/// With no failure this is `tail^(1 / (successes + 1))`.
pub fn lower_bound(successes: usize, failures: usize, tail: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Halving 36 times leaves less than a ten-thousand-millionth: far below what is ever shown or compared.
    for _ in 0..36 {
        let middle = f64::midpoint(low, high);
        if incomplete_beta(middle, successes + 1, failures + 1) < tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// "19 of 20, at least 79 %". Never a bare percentage, and rounded down: the words must not promise more than the number.
pub fn share_words(successes: usize, failures: usize, bound: f64) -> String {
    match successes + failures {
        0 => "no closed trials yet".to_owned(),
        all => format!("{successes} of {all}, at least {} %", percent(bound)),
    }
}

/// Whole per cent, rounded down.
pub(super) fn percent(share: f64) -> u32 {
    // The tiny addend keeps a share such as 0.8 from showing as 79 % for want of a binary digit.
    share.mul_add(100.0, 1e-6).clamp(0.0, 100.0).floor() as u32
}

/// The regularised incomplete beta function I_x(a, b) for whole a and b of at least 1.
fn incomplete_beta(x: f64, a: usize, b: usize) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let (a_real, b_real) = (a as f64, b as f64);
    // x^a (1-x)^b / B(a, b), in logarithms because both parts leave the range of a float early.
    let front = (a_real.mul_add(x.ln(), b_real * (1.0 - x).ln()) - ln_beta(a, b)).exp();
    // The fraction converges fast on one side of the mean only; on the other, I_x(a, b) = 1 - I_(1-x)(b, a).
    if x < (a_real + 1.0) / (a_real + b_real + 2.0) {
        front * fraction(x, a_real, b_real) / a_real
    } else {
        1.0 - front * fraction(1.0 - x, b_real, a_real) / b_real
    }
}

/// ln B(a, b) = ln((a-1)! (b-1)! / (a+b-1)!).
fn ln_beta(a: usize, b: usize) -> f64 {
    let ln_factorial = |n: usize| (2..=n).map(|k| (k as f64).ln()).sum::<f64>();
    ln_factorial(a - 1) + ln_factorial(b - 1) - ln_factorial(a + b - 1)
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..=500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-13 * value.abs() {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_failures_it_is_the_closed_form() {
        for runs in 0..=200_u32 {
            let exact = 0.05_f64.powf(1.0 / f64::from(runs + 1));
            let found = lower_bound(runs as usize, 0, 0.05);
            assert!((found - exact).abs() < 1e-9, "{runs}: {found} instead of {exact}");
        }
        // And without successes its mirror image: 1 - 0.95^(1 / (failures + 1)).
        for runs in 0..=200_u32 {
            let exact = 1.0 - 0.95_f64.powf(1.0 / f64::from(runs + 1));
            assert!((lower_bound(0, runs as usize, 0.05) - exact).abs() < 1e-9, "{runs}");
        }
    }

    #[test]
    fn known_records_give_known_bounds() {
        for (good, all, bound, words) in [
            (0, 0, 0.05, "no closed trials yet"),
            (3, 3, 0.47, "3 of 3, at least 47 %"),
            (10, 10, 0.76, "10 of 10, at least 76 %"),
            (20, 20, 0.87, "20 of 20, at least 86 %"),
            (19, 20, 0.79, "19 of 20, at least 79 %"),
            (28, 28, 0.90, "28 of 28, at least 90 %"),
            (46, 47, 0.905, "46 of 47, at least 90 %"),
            (59, 59, 0.95, "59 of 59, at least 95 %"),
            (95, 100, 0.90, "95 of 100, at least 89 %"),
        ] {
            let found = lower_bound(good, all - good, 0.05);
            assert!((found - bound).abs() <= 0.005, "{good}/{all}: {found}");
            assert_eq!(share_words(good, all - good, found), words);
        }
        assert_eq!(percent(0.8), 80);
        assert_eq!(percent(1.0), 100);
    }

    /// I_x(a, b) for whole numbers is a binomial tail: the same number by another road.
    #[test]
    fn it_agrees_with_the_binomial_tail() {
        for (x, a, b) in [(0.3, 4, 7), (0.8, 15, 1), (0.8, 20, 2), (0.5, 25, 25), (0.99, 50, 3), (0.01, 3, 50)] {
            let n = a + b - 1;
            let tail: f64 = (a..=n)
                .map(|k| (-ln_beta(k + 1, n - k + 1) - ((n + 1) as f64).ln()).exp() * x_pow(x, k) * x_pow(1.0 - x, n - k))
                .sum();
            let found = incomplete_beta(x, a, b);
            assert!((found - tail).abs() < 1e-10, "I_{x}({a}, {b}) = {found}, binomial {tail}");
        }
    }

    fn x_pow(x: f64, n: usize) -> f64 {
        x.powi(i32::try_from(n).expect("small"))
    }

    proptest! {
        #[test]
        fn more_successes_raise_it_and_more_failures_lower_it(good in 0..300_usize, bad in 0..300_usize) {
            let here = lower_bound(good, bad, 0.05);
            prop_assert!(here > 0.0 && here < 1.0);
            prop_assert!(lower_bound(good + 1, bad, 0.05) > here);
            prop_assert!(lower_bound(good, bad + 1, 0.05) < here);
            // Never bolder than the plain share.
            if good + bad > 0 && good > 0 {
                prop_assert!(here < good as f64 / (good + bad) as f64);
            }
        }

        #[test]
        fn the_words_never_promise_more_than_the_number(good in 0..300_usize, bad in 0..300_usize) {
            let bound = lower_bound(good, bad, 0.05);
            prop_assert!(f64::from(percent(bound)) <= bound * 100.0 + 1e-6);
        }
    }
}
