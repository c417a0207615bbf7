//! Functions of Rego whose cost or answer can be far larger than what they are given. The evaluator looks at its clock between steps and not
//! within a function, so these are asked first what they would cost; within bounds the evaluator's own function answers.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use regorus::{Engine, Value};

/// Elements of a range or a joined array.
const ELEMENTS_MAX: u64 = 100_000;
/// Bytes of a text that is put together.
const TEXT_MAX: u64 = 4 << 20;
/// Steps of a search that looks for each of many in each of many.
const STEPS_MAX: u64 = 20_000_000;
/// Characters of a number, and how far bits are shifted.
const NUMBER_MAX: u64 = 400;
/// Digits of a width in a format.
const WIDTH_DIGITS_MAX: usize = 3;

/// What a call would cost, in the words of its bound; beyond it the call is an error.
type Check = fn(&[Value]) -> Result<()>;

/// Names, how many arguments they take, and their bounds.
const BOUNDED: &[(&str, u8, Check)] = &[
    ("numbers.range", 2, range),
    ("numbers.range_step", 3, range),
    ("array.concat", 2, joined_arrays),
    ("bits.lsh", 2, shift),
    ("to_number", 1, number),
    ("units.parse", 1, number),
    ("units.parse_bytes", 1, number),
    ("concat", 2, joined_texts),
    ("replace", 3, replaced),
    ("strings.replace_n", 2, replaced_by_many),
    ("regex.replace", 3, replaced_by_pattern),
    ("sprintf", 2, format),
    ("indexof", 2, searched),
    ("indexof_n", 2, searched),
    ("strings.count", 2, searched),
    ("trim", 2, searched),
    ("trim_left", 2, searched),
    ("trim_right", 2, searched),
    ("strings.any_prefix_match", 2, compared),
    ("strings.any_suffix_match", 2, compared),
];

/// Puts the bounds before the functions of an evaluator.
pub(super) fn apply(engine: &mut Engine) -> Result<()> {
    let mut plain = Engine::new();
    let mut module = "package bounded\n\nimport rego.v1\n\n".to_owned();
    for (nth, (name, arguments, _)) in BOUNDED.iter().enumerate() {
        let given: Vec<String> = (0..*arguments).map(|nth| format!("input[{nth}]")).collect();
        module.push_str(&format!("f{nth} := {name}({})\n", given.join(", ")));
    }
    plain.add_policy("bounded.rego".to_owned(), module)?;
    let plain = Arc::new(Mutex::new(plain));
    for (nth, &(name, arguments, check)) in BOUNDED.iter().enumerate() {
        let plain = Arc::clone(&plain);
        let call = move |given: Vec<Value>| {
            if let Err(error) = check(&given) {
                bail!("{name}: {error}");
            }
            let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
            plain.set_input(Value::from(given));
            plain.eval_rule(format!("data.bounded.f{nth}"))
        };
        engine.add_extension(name.to_owned(), arguments, Box::new(call))?;
    }
    Ok(())
}

fn within(what: &str, value: u64, most: u64) -> Result<()> {
    if value > most {
        bail!("{what}, where {most} are allowed");
    }
    Ok(())
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(|value| value.as_string().ok()).map_or("", AsRef::as_ref)
}

fn bytes(value: Option<&Value>) -> u64 {
    text(value).len() as u64
}

fn range(given: &[Value]) -> Result<()> {
    let number = |nth: usize| given.get(nth).and_then(|value| value.as_i64().ok());
    let (Some(from), Some(to)) = (number(0), number(1)) else {
        // Texts and the like are the function's own error; a number beyond 64 bits is never within the bound.
        if given
            .iter()
            .take(2)
            .all(|value| value.as_number().is_ok_and(|number| number.is_integer()))
        {
            bail!("from or to a number beyond 64 bits");
        }
        return Ok(());
    };
    let step = number(2).map_or(1, i64::unsigned_abs);
    if step == 0 {
        bail!("a step of nothing has no end");
    }
    within("too many elements", to.abs_diff(from) / step, ELEMENTS_MAX)
}

fn joined_arrays(given: &[Value]) -> Result<()> {
    let elements = given
        .iter()
        .filter_map(|value| value.as_array().ok())
        .map(|array| array.len() as u64)
        .sum();
    within("too many elements", elements, ELEMENTS_MAX)
}

fn shift(given: &[Value]) -> Result<()> {
    let by = given.get(1).and_then(|value| value.as_u64().ok()).unwrap_or_default();
    within("shifted by too many bits", by, NUMBER_MAX)
}

fn number(given: &[Value]) -> Result<()> {
    let text = text(given.first());
    within("too many digits", text.len() as u64, NUMBER_MAX)?;
    let exponent = text
        .rsplit_once(['e', 'E'])
        .map(|(_, exponent)| exponent.trim_start_matches(['+', '-']));
    let digits: String = exponent.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    within(
        "too large an exponent",
        digits.parse().unwrap_or(if digits.is_empty() { 0 } else { u64::MAX }),
        NUMBER_MAX,
    )
}

fn joined_texts(given: &[Value]) -> Result<()> {
    let between = bytes(given.first()) + 1;
    let all = given.get(1);
    let sum = |values: &mut dyn Iterator<Item = &Value>| values.map(|value| bytes(Some(value)) + between).sum();
    let length = match all.map(|all| (all.as_array(), all.as_set())) {
        Some((Ok(array), _)) => sum(&mut array.iter()),
        Some((_, Ok(set))) => sum(&mut set.iter()),
        _ => 0,
    };
    within("too long a text", length, TEXT_MAX)
}

fn replaced(given: &[Value]) -> Result<()> {
    let places = text(given.first()).matches(text(given.get(1))).count() as u64;
    let length = bytes(given.first()) + places.saturating_mul(bytes(given.get(2)));
    within("too long a text", length, TEXT_MAX)
}

/// One pair after the other, as the function does it: a text may grow with each.
fn replaced_by_many(given: &[Value]) -> Result<()> {
    let Some(Ok(pairs)) = given.first().map(Value::as_object) else {
        return Ok(());
    };
    let mut text = text(given.get(1)).to_owned();
    for (old, new) in pairs.iter_sorted() {
        replaced(&[Value::from(text.as_str()), old.clone(), new.clone()])?;
        text = text.replace(self::text(Some(old)), self::text(Some(new)));
    }
    Ok(())
}

fn replaced_by_pattern(given: &[Value]) -> Result<()> {
    // `$0` in what replaces a match is the match, so that the text stands there as often as it is named.
    let names = text(given.get(2)).matches('$').count() as u64;
    let start = bytes(given.first());
    let length = start
        + (start + 1)
            .saturating_mul(bytes(given.get(2)))
            .saturating_add(names.saturating_mul(start));
    within("too long a text", length, TEXT_MAX)
}

/// A width in a format makes a text of any length out of nothing, and texts that double from rule to rule have no end.
fn format(given: &[Value]) -> Result<()> {
    for verb in text(given.first()).split('%').skip(1) {
        let digits = verb.trim_start_matches('.').chars().take_while(|c| c.is_numeric()).count();
        within("too many digits in a width", digits as u64, WIDTH_DIGITS_MAX as u64)?;
    }
    let texts = given.get(1).and_then(|given| given.as_array().ok());
    let length = texts.map_or(0, |texts| texts.iter().map(|text| bytes(Some(text))).sum());
    within("too long a text", length, TEXT_MAX)
}

fn searched(given: &[Value]) -> Result<()> {
    within(
        "too many steps",
        bytes(given.first()).saturating_mul(bytes(given.get(1))),
        STEPS_MAX,
    )
}

fn compared(given: &[Value]) -> Result<()> {
    let many = |value: Option<&Value>| match value.map(|value| (value.as_array(), value.as_set())) {
        Some((Ok(array), _)) => array.len() as u64,
        Some((_, Ok(set))) => set.len() as u64,
        _ => 1,
    };
    within(
        "too many steps",
        many(given.first()).saturating_mul(many(given.get(1))),
        STEPS_MAX / 10,
    )
}
