use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).expect("a time")
}

fn key() -> CodeKey {
    CodeKey::new(KEY).expect("long enough")
}

fn generator() -> Generator {
    let person = PersonRef {
        id: UserId(1001),
        name: "alice".to_owned(),
    };
    Generator::new(person, &key(), [7; 20], at(1_000_000))
}

/// Types the code of `offset` seconds from now.
fn typed(generator: &Generator, offset: i64, now: i64) -> (Generator, Typed) {
    let code = generator.seed(&key()).code_at(at(now + offset));
    generator.judge(&key(), &code, at(now))
}

#[test]
fn the_test_vectors_of_rfc_6238() {
    for (seconds, expected) in [
        (59, 94_287_082),
        (1_111_111_109, 7_081_804),
        (1_111_111_111, 14_050_471),
        (1_234_567_890, 89_005_924),
        (2_000_000_000, 69_279_037),
        (20_000_000_000, 65_353_130),
    ] {
        assert_eq!(hotp(b"12345678901234567890", step_at(at(seconds)), 8), expected, "at {seconds}");
    }
}

#[test]
fn the_test_vectors_of_rfc_4226() {
    let codes: Vec<u32> = (0..10).map(|counter| hotp(b"12345678901234567890", counter, 6)).collect();
    assert_eq!(
        codes,
        [
            755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489
        ]
    );
}

#[test]
fn a_code_counts_one_step_around_its_own() {
    for (offset, expected) in [
        (0, Typed::Right),
        (-30, Typed::Right),
        (30, Typed::Right),
        (-60, Typed::Over { left: 4 }),
        (-270, Typed::Over { left: 4 }),
        (-600, Typed::Wrong { left: 4 }),
        (60, Typed::Wrong { left: 4 }),
    ] {
        assert_eq!(typed(&generator(), offset, 1_700_000_010).1, expected, "{offset} s from now");
    }
}

#[test]
fn a_code_counts_once_and_no_older_one_after_it() {
    let (used, first) = typed(&generator(), 0, 1_700_000_010);
    assert_eq!(first, Typed::Right);
    assert_eq!(typed(&used, 0, 1_700_000_010).1, Typed::Repeated);
    assert_eq!(typed(&used, -30, 1_700_000_010).1, Typed::Repeated);
    let (again, next) = typed(&used, 0, 1_700_000_040);
    assert_eq!(next, Typed::Right);
    assert_eq!(again.last_used_at, Some(at(1_700_000_040)));
    assert_eq!(used.wrong, 0, "a repeated code is no guess");
}

#[test]
fn what_is_no_code() {
    let generator = generator();
    let code = generator.seed(&key()).code_at(at(1_700_000_010));
    for text in [
        "",
        "12345",
        "abcdef",
        &code[1..],
        &format!("{code}0"),
        &format!(" {code}"),
        "１２３４５６",
    ] {
        assert_eq!(
            generator.judge(&key(), text, at(1_700_000_010)).1,
            Typed::Wrong { left: 4 },
            "{text:?}"
        );
    }
}

#[test]
fn five_wrong_codes_in_ten_minutes_lock_it_for_a_while() {
    let mut generator = generator();
    let mut now = 1_700_000_010;
    for left in [4, 3, 2, 1] {
        let (next, typed) = generator.judge(&key(), "no code", at(now));
        assert_eq!(typed, Typed::Wrong { left });
        generator = next;
        now += 10;
    }
    let until = at(now + LOCKED_SECONDS);
    let (locked, fifth) = generator.judge(&key(), "no code", at(now));
    assert_eq!(fifth, Typed::Locked { until });
    assert_eq!(
        typed(&locked, 0, now + LOCKED_SECONDS - 1),
        (locked.clone(), Typed::Locked { until }),
        "not even the right one"
    );
    assert_eq!(typed(&locked, 0, now + LOCKED_SECONDS).1, Typed::Right);
    let (counted_anew, typed) = locked.judge(&key(), "no code", at(now + LOCKED_SECONDS));
    assert_eq!((typed, counted_anew.locked_until), (Typed::Wrong { left: 4 }, None));
    // Spread over more than ten minutes, they are mistakes.
    let (forgotten, typed) = generator.judge(&key(), "no code", at(1_700_000_010 + WRONG_SECONDS));
    assert_eq!((typed, forgotten.wrong), (Typed::Wrong { left: 4 }, 1));
}

#[test]
fn a_seed_takes_key_salt_and_person() {
    let mine = generator();
    let other_salt = Generator {
        salt: [8; 20],
        ..mine.clone()
    };
    let mut other_person = mine.clone();
    other_person.person.id = UserId(1002);
    let seeds = [&mine, &other_salt, &other_person].map(|one| *one.seed(&key()).bytes());
    assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
    let another = CodeKey::new("another key of at least 32 characters").expect("long enough");
    assert_eq!(mine.judge(&another, "123456", at(1_700_000_010)), (mine.clone(), Typed::OtherKey));
    assert_eq!(CodeKey::new("short").err(), Some(ShortKey));
    let shown = format!("{:?} {:?} {mine:?}", key(), mine.seed(&key()));
    assert!(!shown.contains(KEY) && shown.starts_with("CodeKey Seed"), "{shown}");
}
